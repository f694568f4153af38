package io.whetstream.local;

import java.util.Arrays;
import java.util.Collection;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.DoubleStream;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Meter;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.reporter.MetricReporter;
import org.apache.flink.metrics.reporter.MetricReporterFactory;

/**
 * The metrics of a running local cluster, read directly from its registry. Safe for use by any
 * thread. A metric is gone when its job has ended.
 */
public final class LiveMetrics implements MetricReporter {
  static final String RUNTIME = "runtime";

  /** Flink makes reporters itself, so the runtime that wants one finds it by its own id. */
  private static final Map<String, LiveMetrics> BY_RUNTIME = new ConcurrentHashMap<>();

  /** Flink's full name, which begins with host, task manager, job, operator and subtask. */
  private record Entry(String name, Map<String, String> variables) {
    boolean isCalled(String last) {
      return name.endsWith(last)
          && (name.length() == last.length()
              || name.charAt(name.length() - last.length() - 1) == '.');
    }
  }

  private final Map<Metric, Entry> metrics = new ConcurrentHashMap<>();

  private LiveMetrics() {}

  /** The metrics of the runtime with that id. */
  static LiveMetrics of(String runtime) {
    return BY_RUNTIME.computeIfAbsent(runtime, id -> new LiveMetrics());
  }

  static void forget(String runtime) {
    BY_RUNTIME.remove(runtime);
  }

  /**
   * Sum over subtasks of the metrics of that name in a job; empty if there is none.
   *
   * @param name the metric's own name, or with its groups: {@code recall.training}
   */
  public OptionalDouble sum(String job, String name) {
    double[] values = values(job, name).toArray();
    return values.length == 0
        ? OptionalDouble.empty()
        : OptionalDouble.of(Arrays.stream(values).sum());
  }

  /** As {@link #sum}, the largest instead. */
  public OptionalDouble max(String job, String name) {
    return values(job, name).max();
  }

  /** Full names of all metrics of a job. */
  public Collection<String> names(String job) {
    return metrics.values().stream()
        .filter(e -> job.equals(e.variables().get("<job_name>")))
        .map(Entry::name)
        .distinct()
        .sorted()
        .toList();
  }

  private DoubleStream values(String job, String name) {
    return metrics.entrySet().stream()
        .filter(
            e ->
                e.getValue().isCalled(name)
                    && job.equals(e.getValue().variables().get("<job_name>")))
        .mapToDouble(e -> value(e.getKey()))
        .filter(v -> !Double.isNaN(v));
  }

  private static double value(Metric metric) {
    if (metric instanceof Counter counter) {
      return counter.getCount();
    }
    if (metric instanceof Gauge<?> gauge && gauge.getValue() instanceof Number number) {
      return number.doubleValue();
    }
    return metric instanceof Meter meter ? meter.getRate() : Double.NaN;
  }

  @Override
  public void notifyOfAddedMetric(Metric metric, String name, MetricGroup group) {
    metrics.put(
        metric, new Entry(group.getMetricIdentifier(name), Map.copyOf(group.getAllVariables())));
  }

  @Override
  public void notifyOfRemovedMetric(Metric metric, String name, MetricGroup group) {
    metrics.remove(metric);
  }

  @Override
  public void open(MetricConfig config) {}

  @Override
  public void close() {
    metrics.clear();
  }

  /** Found by Flink through the service loader. */
  public static final class Factory implements MetricReporterFactory {
    /** For the service loader. */
    public Factory() {}

    @Override
    public MetricReporter createMetricReporter(Properties properties) {
      return of(properties.getProperty(RUNTIME));
    }
  }
}
