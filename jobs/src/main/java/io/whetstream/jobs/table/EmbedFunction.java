package io.whetstream.jobs.table;

import io.whetstream.jobs.score.ScoringModel;
import io.whetstream.jobs.table.EmbeddingBatches.Row;
import io.whetstream.model.BadInputException;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.AsyncPredictFunction;
import org.apache.flink.table.functions.FunctionContext;

/**
 * {@code ML_PREDICT}: rows in, embeddings and the digest that made them out.
 *
 * <p>Flink calls row by row. Images are decoded in the call; rows are then gathered into
 * micro-batches and embedded on a thread of this function, each batch under one adapter. What
 * cannot be decoded or embedded gives NULL and the reason, or fails the job.
 *
 * <p>It has no state of its own: rows that were not answered yet are in the state of Flink's
 * operator, which hands them over again after a restore.
 */
public final class EmbedFunction extends AsyncPredictFunction {
  private static final long serialVersionUID = 1L;
  private static final Shared<ModelSettings, ScoringModel> MODELS =
      new Shared<>(settings -> ScoringModel.open(settings.config(), settings.version()));

  private final ModelSettings settings;
  private final ModelColumns columns;
  private final boolean fail;
  private final int batchSize;
  private final long waitNanos;

  private transient ScoringModel model;
  private transient EmbeddingBatches batches;

  EmbedFunction(
      ModelSettings settings, ModelColumns columns, boolean fail, int batchSize, long waitNanos) {
    this.settings = settings;
    this.columns = columns;
    this.fail = fail;
    this.batchSize = batchSize;
    this.waitNanos = waitNanos;
  }

  @Override
  public void open(FunctionContext context) throws Exception {
    model = MODELS.join(settings);
    MetricGroup group = context.getMetricGroup().addGroup("whetstream");
    batches =
        new EmbeddingBatches(
            model,
            batchSize,
            waitNanos,
            group.counter("rowsEmbedded"),
            group.counter("rowsRefused"),
            group.counter("batches"));
  }

  @Override
  public CompletableFuture<Collection<RowData>> asyncPredict(RowData input) {
    byte[] image =
        columns.image() < 0 || input.isNullAt(columns.image())
            ? null
            : input.getBinary(columns.image());
    String text =
        columns.text() < 0 || input.isNullAt(columns.text())
            ? null
            : input.getString(columns.text()).toString();
    return batches.add(image, text).thenApply(this::answer);
  }

  private Collection<RowData> answer(Row row) {
    if (fail && row.error() != null && !row.isEmpty()) {
      throw new BadInputException(row.error());
    }
    GenericRowData answer = new GenericRowData(columns.outputs().size());
    for (int i = 0; i < answer.getArity(); i++) {
      answer.setField(i, value(columns.outputs().get(i), row));
    }
    return List.of(answer);
  }

  private static Object value(ModelColumns.Output output, Row row) {
    return switch (output) {
      case EMBEDDING -> array(row.vector());
      case IMAGE_EMBEDDING -> array(row.imageVector());
      case TEXT_EMBEDDING -> array(row.textVector());
      case PROBE -> row.vector() == null ? null : array(Probe.of(row.vector(), row.digest()));
      case SIMILARITY -> row.similarity();
      case ADAPTER -> StringData.fromString(row.digest());
      case ERROR -> StringData.fromString(row.error());
    };
  }

  private static GenericArrayData array(float[] vector) {
    return vector == null ? null : new GenericArrayData(vector);
  }

  @Override
  public void close() throws Exception {
    if (batches != null) {
      batches.close();
    }
    if (model != null) {
      MODELS.leave(settings);
      model = null;
    }
  }
}
