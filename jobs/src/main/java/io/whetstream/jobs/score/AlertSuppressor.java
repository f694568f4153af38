package io.whetstream.jobs.score;

import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.jobs.score.Suppression.Decision;
import io.whetstream.jobs.score.Suppression.Elapsed;
import io.whetstream.jobs.score.Suppression.FinalCount;
import io.whetstream.jobs.score.Suppression.Settings;
import java.time.Duration;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.StateTtlConfig;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * Thins out the matches of each query (the key), see {@link Suppression}. Counts are exact: a match
 * is raised, or counted in a later alert, a final count or a quarantine's end, exactly once.
 *
 * <p>State per query: groups and counters in one value with a version header, and the last alert of
 * each group. Both expire after {@code suppression.stateTtl} of processing time without a match,
 * which only matters for event time that stands still: timers end everything long before.
 */
final class AlertSuppressor extends KeyedProcessFunction<String, MatchedItem, Alert> {
  private static final long serialVersionUID = 1L;

  /** Quarantines that begin or end. */
  static final OutputTag<QueryStatus> EVENTS =
      new OutputTag<>("quarantines", TypeInformation.of(QueryStatus.class));

  private final long coolDown;
  private final ScoreConfig config;

  private transient Settings settings;
  private transient ValueState<byte[]> state;
  private transient MapState<Long, MatchedItem> lastAlerts;
  private transient Counter raised;
  private transient Counter suppressed;
  private transient Counter quarantined;
  private transient Counter finalCounts;

  AlertSuppressor(ScoreConfig config) {
    this.config = config;
    this.coolDown = config.suppressionSettings().coolDown();
  }

  @Override
  public void open(OpenContext context) {
    settings = config.suppressionSettings();
    StateTtlConfig ttl =
        StateTtlConfig.newBuilder(Duration.ofMillis(config.suppression().stateTtl().toMillis()))
            .setUpdateType(StateTtlConfig.UpdateType.OnCreateAndWrite)
            .setStateVisibility(StateTtlConfig.StateVisibility.NeverReturnExpired)
            .build();
    ValueStateDescriptor<byte[]> groups =
        new ValueStateDescriptor<>(
            "suppression", PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);
    groups.enableTimeToLive(ttl);
    state = getRuntimeContext().getState(groups);
    MapStateDescriptor<Long, MatchedItem> alerts =
        new MapStateDescriptor<>("last-alerts", Types.LONG, TypeInformation.of(MatchedItem.class));
    alerts.enableTimeToLive(ttl);
    lastAlerts = getRuntimeContext().getMapState(alerts);
    MetricGroup group = getRuntimeContext().getMetricGroup().addGroup("whetstream");
    raised = group.counter("alertsRaised");
    suppressed = group.counter("matchesSuppressed");
    quarantined = group.counter("matchesQuarantined");
    finalCounts = group.counter("finalCounts");
  }

  @Override
  public void processElement(MatchedItem match, Context context, Collector<Alert> out)
      throws Exception {
    byte[] known = state.value();
    Suppression suppression = known == null ? new Suppression() : Suppression.fromBytes(known);
    if (match.alert().queryRevision() > suppression.revision()) {
      if (known != null) {
        // What the query meant before has nothing to do with what it means now.
        end(suppression.endAll(), match.queryId(), suppression.revision(), context, out);
      }
      suppression.revision(match.alert().queryRevision());
    }
    Decision decision =
        suppression.onMatch(match.alert().eventTime(), match.group(), settingsOf(match));
    switch (decision.verdict()) {
      case RAISE -> {
        if (decision.forgotten() != null) {
          giveCount(decision.forgotten(), out);
          lastAlerts.remove(decision.forgotten().groupId());
        }
        lastAlerts.put(decision.groupId(), match);
        raised.inc();
        out.collect(match.raised(decision.suppressedBefore()));
      }
      case SUPPRESS -> suppressed.inc();
      case QUARANTINE_BEGINS -> {
        quarantined.inc();
        context.output(
            EVENTS,
            new QueryStatus(
                match.queryId(),
                match.alert().queryRevision(),
                QueryStatus.State.QUARANTINED,
                "more than "
                    + settings.floodMatches()
                    + " matches in "
                    + settings.floodWindow()
                    + " ms: raise its threshold",
                List.of(),
                match.alert().adapterDigest(),
                0,
                suppression.quarantinedUntil(),
                context.timerService().currentProcessingTime()));
      }
      case QUARANTINED -> quarantined.inc();
    }
    if (decision.timer() != Long.MIN_VALUE) {
      context.timerService().registerEventTimeTimer(decision.timer());
    }
    state.update(suppression.toBytes());
  }

  private Settings settingsOf(MatchedItem match) {
    if (match.coolDownMillis() < 0 || match.coolDownMillis() == coolDown) {
      return settings;
    }
    return new Settings(
        match.coolDownMillis(),
        settings.finalCountAfter(),
        settings.imageBits(),
        settings.maxGroups(),
        settings.floodWindow(),
        settings.floodMatches(),
        settings.quarantine());
  }

  @Override
  public void onTimer(long timestamp, OnTimerContext context, Collector<Alert> out)
      throws Exception {
    byte[] known = state.value();
    if (known == null) {
      return;
    }
    Suppression suppression = Suppression.fromBytes(known);
    end(
        suppression.onTime(timestamp),
        context.getCurrentKey(),
        suppression.revision(),
        context,
        out);
    if (suppression.isEmpty()) {
      state.clear();
    } else {
      state.update(suppression.toBytes());
    }
  }

  private void end(
      Elapsed elapsed, String query, long revision, Context context, Collector<Alert> out)
      throws Exception {
    for (FinalCount count : elapsed.counts()) {
      giveCount(count, out);
    }
    for (long group : elapsed.ended()) {
      lastAlerts.remove(group);
    }
    if (elapsed.quarantineEnded()) {
      context.output(
          EVENTS,
          new QueryStatus(
              query,
              revision,
              QueryStatus.State.RELEASED,
              elapsed.quarantined() + " matches were counted in quarantine",
              List.of(),
              null,
              elapsed.quarantined(),
              0,
              context.timerService().currentProcessingTime()));
    }
  }

  private void giveCount(FinalCount count, Collector<Alert> out) throws Exception {
    MatchedItem last = lastAlerts.get(count.groupId());
    if (count.suppressed() > 0 && last != null) {
      finalCounts.inc();
      out.collect(last.finalCount(count.suppressed()));
    }
  }
}
