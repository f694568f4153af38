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
 * is raised, or counted in a later alert, a final count or a quarantine's end, exactly once. What a
 * quarantine withholds goes to {@link #WITHHELD}.
 *
 * <p>State per query: groups and counters in one value with a version header, and the last alert of
 * each group. Both expire after {@code suppression.stateTtl} without a match; timers of processing
 * time end everything long before. At the end of the input everything ends.
 */
final class AlertSuppressor extends KeyedProcessFunction<String, MatchedItem, Alert> {
  private static final long serialVersionUID = 1L;

  /** Quarantines that begin or end. */
  static final OutputTag<QueryStatus> EVENTS =
      new OutputTag<>("quarantines", TypeInformation.of(QueryStatus.class));

  /** Matches that a quarantine withheld. */
  static final OutputTag<Alert> WITHHELD =
      new OutputTag<>("withheld", TypeInformation.of(Alert.class));

  private final long coolDown;
  private final ScoreConfig config;

  private transient Settings settings;
  private transient ValueState<byte[]> state;
  private transient MapState<Long, MatchedItem> lastAlerts;
  private transient Counter raised;
  private transient Counter suppressed;
  private transient Counter withheld;
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
    withheld = group.counter("matchesWithheld");
    finalCounts = group.counter("finalCounts");
  }

  @Override
  public void processElement(MatchedItem match, Context context, Collector<Alert> out)
      throws Exception {
    long now = context.timerService().currentProcessingTime();
    byte[] known = state.value();
    Suppression suppression =
        known == null ? new Suppression() : Suppression.fromBytes(known, now, settings);
    if (known == null) {
      // With the input everything ends.
      context.timerService().registerEventTimeTimer(Long.MAX_VALUE);
    }
    if (match.alert().queryRevision() > suppression.revision()) {
      if (known != null) {
        // What the query meant before has nothing to do with what it means now.
        end(suppression.endAll(), match.queryId(), suppression.revision(), context, out);
      }
      suppression.revision(match.alert().queryRevision());
    }
    Decision decision = suppression.onMatch(now, match.group(), settingsOf(match));
    if (decision.forgotten() != null) {
      giveCount(decision.forgotten(), out);
      lastAlerts.remove(decision.forgotten().groupId());
    }
    if (decision.quarantineBegins()) {
      sayQuarantined(match, suppression.quarantinedUntil(), now, context);
    }
    switch (decision.verdict()) {
      case RAISE -> {
        lastAlerts.put(decision.groupId(), match);
        raised.inc();
        out.collect(match.raised(decision.suppressedBefore()));
      }
      case SAMPLE -> {
        raised.inc();
        out.collect(match.raised(0));
      }
      case SUPPRESS -> suppressed.inc();
      case WITHHOLD -> {
        withheld.inc();
        context.output(WITHHELD, match.alert());
      }
    }
    if (decision.timer() != Long.MIN_VALUE) {
      context.timerService().registerProcessingTimeTimer(decision.timer());
    }
    state.update(suppression.toBytes());
  }

  private void sayQuarantined(MatchedItem match, long until, long now, Context context) {
    context.output(
        EVENTS,
        new QueryStatus(
            match.queryId(),
            match.alert().queryRevision(),
            QueryStatus.State.QUARANTINED,
            "matches of more than "
                + settings.floodMatches()
                + " unlike contents in "
                + settings.floodWindow()
                + " ms: raise its threshold; meanwhile copies are withheld",
            List.of(),
            match.alert().adapterDigest(),
            0,
            until,
            now));
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
    long now = context.timerService().currentProcessingTime();
    Suppression suppression = Suppression.fromBytes(known, now, settings);
    boolean inputEnded = timestamp == Long.MAX_VALUE;
    end(
        inputEnded ? suppression.endAll() : suppression.onTime(now),
        context.getCurrentKey(),
        suppression.revision(),
        context,
        out);
    if (inputEnded || suppression.isEmpty(now, settings)) {
      state.clear();
    } else {
      // What a state of event time held has no timer yet.
      context.timerService().registerProcessingTimeTimer(suppression.nextDue(settings));
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
              elapsed.withheld() + " matches were withheld in quarantine",
              List.of(),
              null,
              elapsed.withheld(),
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
