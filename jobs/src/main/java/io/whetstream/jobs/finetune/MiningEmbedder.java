package io.whetstream.jobs.finetune;

import io.whetstream.jobs.finetune.MiningSettings.Mode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerOptions;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ScheduledFuture;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.runtime.metrics.DescriptiveStatisticsHistogram;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * Gives each pair its mining embedding (mean-pooled features of the frozen vision tower, less the
 * mean of reference pictures, unit length, int8) and its home bucket.
 *
 * <p>Pictures are run in micro-batches, bounded by number and by time. A batch is run before a
 * watermark, a checkpoint barrier and the end of input, so nothing is ever in flight at a snapshot
 * and the operator needs no state. In deterministic mode a batch is one picture: what one picture
 * gets never depends on its neighbours.
 */
final class MiningEmbedder extends AbstractStreamOperator<MinedPair>
    implements OneInputStreamOperator<PreparedImage, MinedPair>, BoundedOneInput {
  private static final long serialVersionUID = 1L;
  private static final int REFERENCES = 64;

  /** Where graphs are kept: a model directory may be read-only, or not ours to write to. */
  private static final Path GRAPHS =
      Path.of(System.getProperty("java.io.tmpdir"), "whetstream-graphs");

  private final FineTuneConfig settings;

  private transient Scorer scorer;
  private transient float[] center;
  private transient Buckets buckets;
  private transient List<StreamRecord<PreparedImage>> waiting;
  private transient ScheduledFuture<?> timer;
  private transient Counter embedded;
  private transient Histogram milliseconds;

  MiningEmbedder(FineTuneConfig config) {
    this.settings = config;
  }

  @Override
  public void open() throws Exception {
    super.open();
    waiting = new ArrayList<>();
    MetricGroup metrics = getMetricGroup().addGroup("miningEmbedder");
    embedded = metrics.counter("embeddedImages");
    milliseconds =
        metrics.histogram("batchMilliseconds", new DescriptiveStatisticsHistogram(1_000));
    if (settings.mining().mode() == Mode.HARD) {
      openScorer();
    }
  }

  private void openScorer() {
    try {
      Path directory = settings.base().weights();
      scorer =
          Scorer.open(
              directory,
              ScorerOptions.defaults().withThreads(settings.base().threads()).withCache(GRAPHS));
      center = center(scorer, ImageProcessor.open(directory), settings.mining().seed());
      buckets =
          new Buckets(
              settings.mining().seed(),
              settings.mining().tables(),
              settings.mining().planes(),
              center.length);
    } catch (BadInputException e) {
      // Another attempt would fail the same way.
      throw new SuppressRestartsException(e);
    }
  }

  /** The mean over reference pictures. */
  static float[] center(Scorer scorer, ImageProcessor images, long seed) {
    float[] mean = null;
    for (var image : ReferenceImages.draw(seed, REFERENCES, images.side())) {
      // One at a time: every subtask must get the same bits, whatever its batch size.
      float[] vector = scorer.poolVision(List.of(images.process(image)))[0];
      mean = mean == null ? new float[vector.length] : mean;
      for (int i = 0; i < mean.length; i++) {
        mean[i] += vector[i] / REFERENCES;
      }
    }
    return mean;
  }

  @Override
  public void processElement(StreamRecord<PreparedImage> element) {
    if (settings.mining().mode() == Mode.RANDOM) {
      MinedPair pair = element.getValue().pair();
      int bucket = Buckets.any(pair.id(), settings.mining().buckets());
      output.collect(element.replace(pair.mined(new byte[0], bucket)));
      return;
    }
    // The caller may reuse the element, never the value.
    waiting.add(element.copy(element.getValue()));
    if (settings.deterministic() || waiting.size() >= settings.mining().batch()) {
      flush();
    } else if (timer == null) {
      long due =
          getProcessingTimeService().getCurrentProcessingTime()
              + settings.mining().batchWait().toMillis();
      timer = getProcessingTimeService().registerTimer(due, time -> flush());
    }
  }

  private void flush() {
    if (timer != null) {
      timer.cancel(false);
      timer = null;
    }
    if (waiting.isEmpty()) {
      return;
    }
    long start = System.nanoTime();
    List<ModelImage> images = waiting.stream().map(record -> record.getValue().image()).toList();
    float[][] vectors = scorer.poolVision(images);
    for (int i = 0; i < vectors.length; i++) {
      StreamRecord<PreparedImage> record = waiting.get(i);
      float[] vector = vectors[i];
      for (int d = 0; d < vector.length; d++) {
        vector[d] -= center[d];
      }
      byte[] quantized = Sketch.quantize(vector);
      int home = buckets.home(vector);
      output.collect(record.replace(record.getValue().pair().mined(quantized, home)));
    }
    embedded.inc(vectors.length);
    milliseconds.update((System.nanoTime() - start) / 1_000_000);
    waiting.clear();
  }

  @Override
  public void processWatermark(Watermark mark) throws Exception {
    flush();
    super.processWatermark(mark);
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpointId) {
    flush();
  }

  @Override
  public void endInput() {
    flush();
  }

  @Override
  public void close() throws Exception {
    if (scorer != null) {
      scorer.close();
    }
    super.close();
  }
}
