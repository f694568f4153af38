package io.whetstream.jobs.table;

import io.whetstream.jobs.table.SqlOptions.OnError;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.config.ExecutionConfigOptions;
import org.apache.flink.table.api.config.MLPredictRuntimeConfigOptions;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.factories.ModelProviderFactory;
import org.apache.flink.table.functions.AsyncPredictFunction;
import org.apache.flink.table.ml.AsyncPredictRuntimeProvider;
import org.apache.flink.table.ml.ModelProvider;

/**
 * The model provider {@code whetstream}: an adapter, live or by its digest, for {@code ML_PREDICT}.
 * Options are {@link SqlOptions}, columns {@link ModelColumns}. It computes in the TaskManager's
 * process, in the session that the process has of that base.
 */
public final class EmbeddingModelFactory implements ModelProviderFactory {
  /** Name of the provider. */
  public static final String IDENTIFIER = "whetstream";

  @Override
  public String factoryIdentifier() {
    return IDENTIFIER;
  }

  @Override
  public Set<ConfigOption<?>> requiredOptions() {
    return Set.of();
  }

  @Override
  public Set<ConfigOption<?>> optionalOptions() {
    return new HashSet<>(SqlOptions.OF_MODELS);
  }

  @Override
  public ModelProvider createModelProvider(Context context) {
    Map<String, String> given = context.getCatalogModel().getOptions();
    Configuration options =
        SqlOptions.read(
            given,
            SqlOptions.OF_MODELS,
            Set.of(FactoryUtil.PROVIDER.key(), FactoryUtil.PROPERTY_VERSION.key()));
    boolean fail = options.get(SqlOptions.ON_ERROR) == OnError.FAIL;
    ModelColumns columns =
        ModelColumns.of(
            context.getCatalogModel().getResolvedInputSchema(),
            context.getCatalogModel().getResolvedOutputSchema(),
            !fail);
    return new Provider(
        ModelSettings.ofModel(options, given),
        columns,
        fail,
        options.get(SqlOptions.BATCH_SIZE),
        options.get(SqlOptions.BATCH_WAIT).toNanos(),
        context
            .getConfiguration()
            .get(ExecutionConfigOptions.TABLE_EXEC_ASYNC_ML_PREDICT_MAX_CONCURRENT_OPERATIONS));
  }

  /**
   * @param concurrent rows that Flink hands over at a time, unless the call says otherwise
   */
  private record Provider(
      ModelSettings settings,
      ModelColumns columns,
      boolean fail,
      int batchSize,
      long waitNanos,
      int concurrent)
      implements AsyncPredictRuntimeProvider {

    @Override
    public AsyncPredictFunction createAsyncPredictFunction(ModelProvider.Context context) {
      int most =
          context
              .runtimeConfig()
              .getOptional(MLPredictRuntimeConfigOptions.ASYNC_MAX_CONCURRENT_OPERATIONS)
              .orElse(concurrent);
      // More never come at once, so none must wait for more.
      return new EmbedFunction(settings, columns, fail, Math.min(batchSize, most), waitNanos);
    }

    @Override
    public ModelProvider copy() {
      return this;
    }
  }
}
