package io.whetstream.local.demo;

import io.whetstream.connectors.StoredFiles;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.console.Console;
import io.whetstream.console.ConsoleOptions;
import io.whetstream.local.LocalJob;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.LocalRuntime;
import io.whetstream.local.StopSignal;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.scenes.SceneLook;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.kafka.clients.admin.Admin;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs the demo: broker, Flink, both jobs, the stream; then measures what was published and
 * reports. One run belongs to one thread.
 */
public final class Demo {
  private static final Logger LOG = LoggerFactory.getLogger(Demo.class);

  private static final int NO_CONSOLE = -1;
  private static final long LOOK_MILLIS = 200;
  private static final long PROGRESS_NANOS = TimeUnit.SECONDS.toNanos(1);
  private static final long QUIET_NANOS = TimeUnit.SECONDS.toNanos(10);
  private static final long STUCK_NANOS = TimeUnit.SECONDS.toNanos(60);
  private static final double RECOVERED_SHARE = 0.8;

  private DemoOptions options;
  private final LocalOptions local;
  private final Path model;
  private final Path reportFile;
  private final DemoJobs jobs;
  private final StopSignal stop;
  private final Progress progress;

  /** Where a person reads how it goes. */
  public interface Progress {
    /** One thing worth a line. */
    void say(String line);

    /** How it stands now; the next one may take its place. */
    void status(String line);
  }

  private Double startSeconds;
  private int consolePort = NO_CONSOLE;
  private boolean staysOpen;
  private FileSource own;
  private StreamSize size = new StreamSize(Long.MAX_VALUE);
  private Console console;

  /**
   * @param model directory of the base model
   * @param reportFile where the report goes, or null for none
   */
  public Demo(
      DemoOptions options,
      LocalOptions local,
      Path model,
      Path reportFile,
      StopSignal stop,
      Progress progress) {
    this(options, local, model, reportFile, new StreamJobs(), stop, progress);
  }

  Demo(
      DemoOptions options,
      LocalOptions local,
      Path model,
      Path reportFile,
      DemoJobs jobs,
      StopSignal stop,
      Progress progress) {
    this.options = options;
    this.local = local;
    this.model = model;
    this.reportFile = reportFile;
    this.jobs = jobs;
    this.stop = stop;
    this.progress = progress;
  }

  /**
   * Has it stream a person's own pairs instead of drawn scenes.
   *
   * @param file JSON lines, see {@link io.whetstream.model.pairs.PairsFile}
   * @throws BadInputException if it cannot be used
   */
  public Demo withPairs(Path file) {
    own = new FileSource(file, options);
    size = new StreamSize(own.lastPair());
    options = options.spreading(own.lastPair());
    return this;
  }

  /**
   * Has it start the web console too.
   *
   * @param port on loopback, 0 for a free one
   * @param stays whether it stays open when the stream has ended, until the stop signal
   */
  public Demo withConsole(int port, boolean stays) {
    consolePort = port;
    staysOpen = stays;
    return this;
  }

  /**
   * Runs to the end of the time or to the stop signal, and leaves savepoints from which the next
   * run goes on.
   *
   * @return the report; without measurements if it was stopped before its time
   */
  public Map<String, Object> run() throws IOException, InterruptedException {
    progress.say("starting Kafka and Flink ...");
    try (LocalRuntime runtime = LocalRuntime.start(local)) {
      KafkaConnection kafka = KafkaConnection.of(runtime.bootstrapServers());
      Topics topics = new Topics("");
      try (Admin admin = kafka.admin()) {
        topics.create(admin, 1, (short) 1);
      }
      DemoState state =
          DemoState.load(runtime.directory(), options, own == null ? null : own.digest());
      progress.say(
          String.format(
              Locale.ROOT,
              "Kafka %s, Flink %s, data in %s",
              runtime.bootstrapServers(),
              runtime.webUi(),
              local.dataDir()));
      if (state.pairs() >= size.pairs()) {
        progress.say(
            "all pairs of the file were sent before: what is left of them is used up; --fresh"
                + " starts over");
      }
      if (!size.suffices()) {
        progress.say(
            size.pairs()
                + " pairs are few: the gate publishes nothing before it has "
                + StreamSize.FEWEST_HELD_OUT
                + " held-out pairs, and some steps must be left to train");
      }
      JobFigures figures = new JobFigures(runtime.metrics(), topics);
      Source source = own != null ? own : new DemoStream(state.options());
      try (Console opened = openConsole(runtime, kafka, topics);
          Monitor monitor = new Monitor(kafka, topics);
          Feeder feeder =
              new Feeder(
                  kafka,
                  topics,
                  source,
                  runtime.directory(),
                  state,
                  () -> figures.done() + monitor.deadPairs(),
                  monitor)) {
        console = opened;
        Map<String, Object> outcome = run(runtime, figures, monitor, feeder);
        if (opened != null && staysOpen && !stop.asked()) {
          progress.say("the console stays open at " + opened.uri() + " until Ctrl-C");
          while (!stop.await(1, TimeUnit.HOURS)) {
            LOG.debug("still open");
          }
        }
        return outcome;
      }
    }
  }

  private Console openConsole(LocalRuntime runtime, KafkaConnection kafka, Topics topics) {
    if (consolePort == NO_CONSOLE) {
      return null;
    }
    Console opened =
        Console.start(
            ConsoleOptions.of(kafka, topics)
                .withRegistry(runtime.adapters().toString())
                .withFlink(runtime.webUi())
                .withAddress(ConsoleOptions.LOOPBACK, consolePort));
    progress.say("console " + opened.link());
    return opened;
  }

  private Map<String, Object> run(
      LocalRuntime runtime, JobFigures figures, Monitor monitor, Feeder feeder)
      throws IOException, InterruptedException {
    feeder.sendWatchlist(size.falsePositiveRate());
    List<LocalJob> running =
        List.of(jobs.finetune(runtime, model, options.seed(), size), jobs.score(runtime, model));
    for (LocalJob job : running) {
      if (job.restoredFrom() != null) {
        progress.say("job " + job.name() + " goes on from " + job.restoredFrom());
      }
    }
    StepNote note = new StepNote(runtime.directory());
    CompletableFuture<?> failed =
        CompletableFuture.anyOf(
            running.stream().map(runtime::ended).toArray(CompletableFuture[]::new));
    CompletableFuture<Void> feeding = feed(feeder);
    watch(runtime, feeder, monitor, figures, note, feeding, failed);
    boolean whole = !stop.asked();
    if (whole) {
      if (own != null && feeder.state().pairs() < size.pairs()) {
        progress.say(
            "the time is over after "
                + feeder.state().pairs()
                + " of "
                + size.pairs()
                + " pairs; give more --seconds, or start again to go on");
      }
      progress.say("the stream has ended; waiting until everything is used up ...");
      drain(feeder, figures, failed);
    }
    Counts counts = counts(figures, monitor);
    note.reached(counts.step());
    progress.say("stopping with savepoints ...");
    Map<String, Path> savepoints = runtime.stopJobs();
    monitor.catchUp();
    savepoints.forEach((job, path) -> progress.say(describe(runtime, job, path)));
    // The trainer may have made a step more between the count and the savepoint.
    progress.say(
        "stopped at step "
            + counts.step()
            + " or just after"
            + (feeder.state().pairs() < size.pairs() || stop.asked()
                ? "; start again to go on"
                : ""));
    if (!whole && reportFile == null) {
      return Map.of("step", counts.step(), "trained", counts.trained());
    }
    if (own == null) {
      progress.say("measuring what was published on held-out scenes ...");
    }
    DemoReport report = report(feeder.state(), monitor, figures, counts);
    if (reportFile != null) {
      report.write(reportFile);
      progress.say("report in " + reportFile);
    }
    Summary.lines(report).forEach(progress::say);
    return Map.of("report", report);
  }

  private CompletableFuture<Void> feed(Feeder feeder) {
    CompletableFuture<Void> done = new CompletableFuture<>();
    Thread thread =
        new Thread(
            () -> {
              try {
                feeder.run(options.seconds(), ms -> stop.await(ms, TimeUnit.MILLISECONDS));
                done.complete(null);
              } catch (IOException | InterruptedException | RuntimeException e) {
                done.completeExceptionally(e);
              }
            },
            "demo-feeder");
    thread.setDaemon(true);
    thread.start();
    return done;
  }

  private void watch(
      LocalRuntime runtime,
      Feeder feeder,
      Monitor monitor,
      JobFigures figures,
      StepNote note,
      CompletableFuture<Void> feeding,
      CompletableFuture<?> failed)
      throws InterruptedException {
    boolean waits = false;
    long begun = System.nanoTime();
    long shown = 0;
    boolean drifted = false;
    int published = 0;
    while (!feeding.isDone()) {
      throwIfFailed(failed);
      look(figures);
      figures.stepIfKnown().ifPresent(step -> note.at(step).ifPresent(progress::say));
      if (!waits && feeder.paused() && figures.trained() > 0) {
        waits = true;
        progress.say("the jobs are behind on this machine: the stream waits for them now and then");
      }
      if (!drifted && feeder.state().driftTime() > 0) {
        drifted = true;
        progress.say("the looks change now: colours that the model never saw");
        if (console != null) {
          console.annotate("new looks");
        }
      }
      List<Monitor.Published> adapters = monitor.published();
      if (published < adapters.size() && monitor.refusedQueries() > 0) {
        // The calibration of a young adapter is too coarse for the rate: ask the next one again.
        progress.say(monitor.refusedQueries() + " queries were refused; asking again");
        feeder.sendWatchlist(size.falsePositiveRate());
      }
      for (; published < adapters.size(); published++) {
        progress.say(describe(adapters.get(published)));
      }
      if (System.nanoTime() - shown > PROGRESS_NANOS) {
        shown = System.nanoTime();
        runtime.noteStates();
        progress.status(status((shown - begun) / 1e9, feeder.state(), monitor, figures));
      }
      if (!stop.asked()) {
        stop.await(LOOK_MILLIS, TimeUnit.MILLISECONDS);
      } else {
        TimeUnit.MILLISECONDS.sleep(LOOK_MILLIS / 10);
      }
    }
    try {
      feeding.get();
    } catch (ExecutionException e) {
      throw new IllegalStateException("the stream broke off", e.getCause());
    }
  }

  private void look(JobFigures figures) {
    figures.observeFlips();
    if (startSeconds == null && figures.trained() > 0) {
      long start = ManagementFactory.getRuntimeMXBean().getStartTime();
      startSeconds = (System.currentTimeMillis() - start) / 1000.0;
      progress.say(
          String.format(Locale.ROOT, "first pairs trained %.1f s after the start", startSeconds));
    }
  }

  /** Waits until every pair was read and nothing moves any more. */
  private void drain(Feeder feeder, JobFigures figures, CompletableFuture<?> failed)
      throws InterruptedException {
    long moved = System.nanoTime();
    long last = -1;
    while (!stop.asked()) {
      throwIfFailed(failed);
      look(figures);
      long now = figures.trained() + figures.heldOut() + figures.pending() + figures.consumed();
      if (now != last) {
        last = now;
        moved = System.nanoTime();
      }
      boolean all = figures.consumed() >= feeder.state().pairs();
      if (System.nanoTime() - moved > (all ? QUIET_NANOS : STUCK_NANOS)) {
        return;
      }
      stop.await(LOOK_MILLIS, TimeUnit.MILLISECONDS);
    }
  }

  /** Figures of the jobs, taken before they stop and their metrics are gone. */
  private record Counts(
      long step,
      long consumed,
      long trained,
      long heldOut,
      long skipped,
      long duplicates,
      long pending,
      long refused,
      long suppressed) {}

  private static Counts counts(JobFigures figures, Monitor monitor) {
    return new Counts(
        figures.step(),
        figures.consumed(),
        figures.trained(),
        figures.heldOut(),
        figures.skipped(),
        figures.duplicates(),
        figures.pending(),
        figures.refused(),
        Math.max(figures.suppressed(), monitor.suppressed()));
  }

  private DemoReport report(DemoState state, Monitor monitor, JobFigures figures, Counts counts) {
    List<Monitor.Published> published = monitor.published();
    long driftTime = state.driftTime();
    Measured measured = measure(published, driftTime, monitor.pairTimes());
    long second = published.size() < 2 ? Long.MAX_VALUE : published.get(1).inUseFrom();
    long secondUse = second < 0 ? Long.MAX_VALUE : second;
    long driftFrom = driftTime == 0 ? Long.MAX_VALUE : driftTime;
    long driftTo = measured.recoveredFrom();
    AlertJudge.Figures settled =
        monitor.judge(t -> t >= secondUse && (t < driftFrom || t >= driftTo));
    AlertJudge.Figures during = monitor.judge(t -> t >= driftFrom && t < driftTo);
    return new DemoReport(
        DemoReport.Pairs.of(
            counts.consumed(),
            counts.trained(),
            counts.heldOut(),
            monitor.deadPairs(),
            counts.skipped(),
            counts.duplicates(),
            counts.pending()),
        new DemoReport.Adapters(published.size(), counts.refused()),
        measured.recall(),
        measured.compositional(),
        heldOut(published),
        new DemoReport.Alerts(
            monitor.alerts(),
            counts.suppressed(),
            own == null ? DemoReport.orNull(settled.precision()) : null,
            DemoReport.orNull(settled.recall()),
            new DemoReport.DuringDrift(
                during.items(),
                DemoReport.orNull(during.precision()),
                DemoReport.orNull(during.recall()))),
        DemoReport.Percentiles99.of(figures.flipMillis()),
        DemoReport.Percentiles95.of(freshness(published, monitor)),
        startSeconds,
        LocalRuntime.peakResidentBytes());
  }

  /**
   * @param recoveredFrom when the adapter was in use that won back 80 % of what the change of looks
   *     had cost; the end of time if none did
   */
  private record Measured(
      DemoReport.RecallAt1 recall,
      DemoReport.CompositionalAccuracy compositional,
      long recoveredFrom) {}

  private Measured measure(
      List<Monitor.Published> published, long driftTime, Map<Long, Long> pairTimes) {
    List<Monitor.Published> before = new ArrayList<>();
    List<Monitor.Published> after = new ArrayList<>();
    for (Monitor.Published each : published) {
      // By what it was trained on: the trainer may be behind the stream.
      long newest = pairTimes.getOrDefault(highestOffset(each), each.announcement().announcedAt());
      boolean early = driftTime == 0 || newest < driftTime;
      (early ? before : after).add(each);
    }
    if (own != null) {
      // Nothing is held back of a person's own file but what the gate measures on.
      return new Measured(
          new DemoReport.RecallAt1(null, null, null, null, null),
          new DemoReport.CompositionalAccuracy(null, null),
          Long.MAX_VALUE);
    }
    try (DemoEvaluation evaluation = new DemoEvaluation(model, 0)) {
      Double beforeDrift = null;
      Double preDriftOnDrifted = null;
      Double recovered = null;
      long recoveredFrom = Long.MAX_VALUE;
      if (!before.isEmpty()) {
        AdapterWeights preDrift = weights(before.get(before.size() - 1));
        beforeDrift = evaluation.recallAt1(preDrift, SceneLook.STANDARD);
        preDriftOnDrifted = evaluation.recallAt1(preDrift, DemoStream.DRIFTED);
      }
      for (int i = 0; i < after.size(); i++) {
        boolean last = i == after.size() - 1;
        // Each is measured until one has recovered, and the last one in any case.
        if (recoveredFrom < Long.MAX_VALUE && !last) {
          continue;
        }
        double recall = evaluation.recallAt1(weights(after.get(i)), DemoStream.DRIFTED);
        if (last) {
          recovered = recall;
        }
        if (recoveredFrom == Long.MAX_VALUE
            && beforeDrift != null
            && recall >= preDriftOnDrifted + RECOVERED_SHARE * (beforeDrift - preDriftOnDrifted)
            && after.get(i).inUseFrom() > 0) {
          recoveredFrom = after.get(i).inUseFrom();
        }
      }
      SceneLook looks = driftTime == 0 ? SceneLook.STANDARD : DemoStream.DRIFTED;
      Map<String, Double> latest =
          published.isEmpty()
              ? null
              : evaluation.compositional(weights(published.get(published.size() - 1)), looks);
      return new Measured(
          new DemoReport.RecallAt1(
              evaluation.bestPrompt(SceneLook.STANDARD).recallAt1(),
              evaluation.startRecallAt1(SceneLook.STANDARD),
              beforeDrift,
              preDriftOnDrifted,
              recovered),
          new DemoReport.CompositionalAccuracy(evaluation.compositional(null, looks), latest),
          recoveredFrom);
    }
  }

  private static DemoReport.HeldOut heldOut(List<Monitor.Published> published) {
    if (published.isEmpty()) {
      return new DemoReport.HeldOut(null, null, null, null);
    }
    Map<String, Double> first = published.get(0).announcement().metrics();
    Map<String, Double> last = published.get(published.size() - 1).announcement().metrics();
    return new DemoReport.HeldOut(
        first.get("heldOut.recallPublished"),
        first.get("heldOut.pairs").longValue(),
        last.get("heldOut.recall"),
        last.get("heldOut.pairs").longValue());
  }

  /**
   * From each pair's event time to the first item scored by an adapter trained as far as the pair's
   * offset. Mining holds single pairs back for longer, which this does not see.
   */
  private static double[] freshness(List<Monitor.Published> published, Monitor monitor) {
    List<Double> seconds = new ArrayList<>();
    long covered = -1;
    for (Monitor.Published each : published) {
      if (each.inUseFrom() < 0) {
        continue;
      }
      long highest = highestOffset(each);
      if (highest > covered) {
        monitor
            .pairTimes()
            .subMap(covered, false, highest, true)
            .values()
            .forEach(time -> seconds.add((each.inUseFrom() - time) / 1000.0));
        covered = highest;
      }
    }
    return seconds.stream().mapToDouble(Double::doubleValue).toArray();
  }

  private static long highestOffset(Monitor.Published adapter) {
    return artifact(adapter).manifest().offsets().values().stream()
        .mapToLong(Long::longValue)
        .max()
        .orElse(-1);
  }

  private static AdapterWeights weights(Monitor.Published adapter) {
    return artifact(adapter).weights();
  }

  private static AdapterArtifact artifact(Monitor.Published adapter) {
    return AdapterCodec.read(Path.of(StoredFiles.path(adapter.announcement().uri()).getPath()));
  }

  private static String describe(LocalRuntime runtime, String job, Path savepoint) {
    if (savepoint != null) {
      return "job " + job + " stopped at " + savepoint;
    }
    return "job "
        + job
        + " could make no savepoint; it will go on from "
        + runtime.newestState(job).map(Path::toString).orElse("the start");
  }

  private static String describe(Monitor.Published adapter) {
    return String.format(
        Locale.ROOT,
        "adapter %d.%d published at step %d after %d pairs, digest %s",
        adapter.announcement().epoch(),
        adapter.announcement().n(),
        adapter.announcement().step(),
        adapter.announcement().pairs(),
        adapter.announcement().digest().substring(0, 12));
  }

  private static String status(
      double seconds, DemoState state, Monitor monitor, JobFigures figures) {
    return String.format(
        Locale.ROOT,
        "%4.0f s  pairs %d sent %d trained  step %d  recall in batch %s training %s published"
            + "  trainer busy %s"
            + "  %d adapters  %d alerts  %d dead letters",
        seconds,
        state.pairs(),
        figures.trained(),
        figures.step(),
        percent(figures.recall("training").orElse(Double.NaN)),
        percent(figures.recall("published").orElse(Double.NaN)),
        percent(figures.trainerBusy().orElse(Double.NaN)),
        monitor.published().size(),
        monitor.alerts(),
        monitor.deadPairs() + monitor.deadItems());
  }

  private static String percent(double share) {
    return Double.isNaN(share) ? "-" : String.format(Locale.ROOT, "%.0f %%", 100 * share);
  }

  private static void throwIfFailed(CompletableFuture<?> ended) {
    if (!ended.isDone()) {
      return;
    }
    try {
      ended.get();
      throw new IllegalStateException("a job has ended though the stream goes on");
    } catch (ExecutionException e) {
      LOG.error("a job of the demo failed", e);
      if (e.getCause() instanceof RuntimeException cause) {
        throw cause;
      }
      throw new IllegalStateException("a job of the demo failed", e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    }
  }

  /** A progress that prints everything on lines of its own. */
  public static Progress lines(Consumer<String> out) {
    return new Progress() {
      @Override
      public void say(String line) {
        out.accept(line);
      }

      @Override
      public void status(String line) {
        out.accept(line);
      }
    };
  }
}
