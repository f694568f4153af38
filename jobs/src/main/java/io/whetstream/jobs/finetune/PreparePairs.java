package io.whetstream.jobs.finetune;

import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.types.Read;
import io.whetstream.connectors.types.Types;
import io.whetstream.model.BadInputException;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.text.TextTokenizer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * Decodes, resizes and tokenizes, so that whatever comes later can be trained on. What cannot be
 * used goes to dead letters with its bytes as they were read.
 */
final class PreparePairs extends ProcessFunction<Read<ImageTextPair>, PreparedImage> {
  private static final long serialVersionUID = 1L;

  static final OutputTag<DeadLetter> DEAD = new OutputTag<>("unusable-pairs", Types.DEAD_LETTER);

  private final FineTuneConfig config;

  private transient ImageDecoder decoder;
  private transient ImageProcessor images;
  private transient TextTokenizer tokenizer;
  private transient Counter accepted;
  private transient Counter refused;

  PreparePairs(FineTuneConfig config) {
    this.config = config;
  }

  @Override
  public void open(OpenContext context) {
    decoder = new ImageDecoder(config.prepare().maxPixels());
    try {
      Path base = new BaseModel(config.base().model()).directory();
      images = ImageProcessor.open(base);
      tokenizer = TextTokenizer.open(base);
    } catch (BadInputException e) {
      // Another attempt would fail the same way.
      throw new SuppressRestartsException(e);
    }
    MetricGroup metrics = getRuntimeContext().getMetricGroup().addGroup("preparePairs");
    accepted = metrics.counter("acceptedPairs");
    refused = metrics.counter("refusedPairs");
  }

  @Override
  public void processElement(
      Read<ImageTextPair> read, Context context, Collector<PreparedImage> out) {
    PreparedImage prepared;
    try {
      prepared = prepare(read);
    } catch (BadInputException e) {
      refused.inc();
      context.output(DEAD, read.deadLetter("prepare", e));
      return;
    }
    accepted.inc();
    out.collect(prepared);
  }

  private PreparedImage prepare(Read<ImageTextPair> read) {
    ImageTextPair pair = read.value();
    String where = "pair '" + pair.id() + "' at " + read.at();
    if (pair.image() == null) {
      throw new BadInputException(
          where + " has its image at " + pair.imageUri() + ", which was not fetched");
    }
    ModelImage image = images.process(decoder.decode(pair.image(), where));
    requireTokens(pair.caption(), where, "caption");
    requireTokens(pair.captionLong(), where, "captionLong");
    String text = pair.caption() == null ? pair.captionLong() : pair.caption();
    MinedPair mined =
        new MinedPair(
            pair.id(),
            pair.image(),
            pair.caption(),
            pair.captionLong(),
            PairIds.digest(pair.image()),
            PairIds.digest(text.getBytes(StandardCharsets.UTF_8)),
            new byte[0],
            0,
            pair.eventTime(),
            read.at().partition(),
            read.at().offset());
    return new PreparedImage(mined, image);
  }

  private void requireTokens(String caption, String where, String field) {
    if (caption != null && tokenizer.encode(caption).length == 0) {
      throw new BadInputException(where + ": " + field + " holds no token");
    }
  }

  @Override
  public void close() {
    if (tokenizer != null) {
      tokenizer.close();
    }
  }
}
