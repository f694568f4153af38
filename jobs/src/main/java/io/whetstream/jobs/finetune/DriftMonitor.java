package io.whetstream.jobs.finetune;

import io.whetstream.model.adapter.AdapterManifest.DriftEvent;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Watches two signals of each step for a fall: test-then-train recall of new pairs among those of
 * other groups, which mining does not make harder, and how much the batch's new pictures resemble
 * the running mean of pictures (by their mining embeddings). A rise is no event: that is learning.
 * While a response lasts, which changes what is watched, nothing is: the windows begin again after
 * it. Not thread-safe.
 */
final class DriftMonitor {
  /** Weight of a new batch in the running mean of embeddings. */
  private static final double NEWNESS = 0.02;

  private static final int MOST_EVENTS = 100;

  private final FineTuneConfig.Drift settings;
  private final Adwin recall;
  private final Adwin embedding;
  private final List<DriftEvent> events = new ArrayList<>();
  private double[] mean = new double[0];
  private long adaptUntil;

  /**
   * @param batch pairs whose recall is averaged in a step
   */
  DriftMonitor(FineTuneConfig.Drift settings, int batch) {
    this.settings = settings;
    recall = new Adwin(settings.confidence(), batch);
    embedding = new Adwin(settings.confidence(), 1);
  }

  /**
   * Takes a step's figures.
   *
   * @param trained pairs trained by then
   * @param apart test-then-train recall among other groups, NaN if the batch had none
   * @param pairs new pairs of the batch
   * @return an event if a change became certain, else null
   */
  DriftEvent observe(long step, long trained, double apart, List<MinedPair> pairs) {
    if (!settings.enabled()) {
      return null;
    }
    double likeness = likeness(pairs);
    if (adapting(step)) {
      return null;
    }
    DriftEvent event = null;
    if (Double.isFinite(apart)) {
      event = fall(step, trained, "recall", recall.add(apart));
    }
    if (Double.isFinite(likeness)) {
      DriftEvent other = fall(step, trained, "embedding", embedding.add(likeness));
      event = event == null ? other : event;
    }
    if (event != null) {
      events.add(event);
      if (events.size() > MOST_EVENTS) {
        events.remove(0);
      }
      adaptUntil = step + settings.steps();
      if (settings.response() == FineTuneConfig.Response.ADAPT) {
        recall.clear();
        embedding.clear();
      }
    }
    return event;
  }

  private DriftEvent fall(long step, long trained, String metric, Adwin.Change change) {
    return change == null || change.after() >= change.before()
        ? null
        : new DriftEvent(
            step,
            trained,
            metric,
            change.before(),
            change.after(),
            settings.response().name().toLowerCase(Locale.ROOT));
  }

  /** 1 less the distance of the batch's mean unit embedding from the running one, at least 0. */
  private double likeness(List<MinedPair> pairs) {
    double[] batch = new double[mean.length];
    int count = 0;
    for (MinedPair pair : pairs) {
      float norm = Sketch.norm(pair.vector());
      if (norm == 0) {
        continue;
      }
      if (batch.length != pair.vector().length) {
        batch = new double[pair.vector().length];
      }
      for (int i = 0; i < batch.length; i++) {
        batch[i] += pair.vector()[i] / norm;
      }
      count++;
    }
    if (count == 0) {
      return Double.NaN;
    }
    boolean first = mean.length != batch.length;
    double squares = 0;
    for (int i = 0; i < batch.length; i++) {
      batch[i] /= count;
      if (!first) {
        double away = batch[i] - mean[i];
        squares += away * away;
        mean[i] += NEWNESS * away;
      }
    }
    if (first) {
      mean = batch;
      return Double.NaN;
    }
    return 1 - Math.min(1, Math.sqrt(squares));
  }

  /** Factor on the learning rate of a step. */
  double rateFactor(long step) {
    return adapting(step) ? settings.rateFactor() : 1;
  }

  /** Share of replayed pairs that a step keeps. */
  double replayFactor(long step) {
    return adapting(step) ? settings.replayFactor() : 1;
  }

  private boolean adapting(long step) {
    return settings.response() == FineTuneConfig.Response.ADAPT && step < adaptUntil;
  }

  List<DriftEvent> events() {
    return List.copyOf(events);
  }

  void write(DataOutput out) throws IOException {
    recall.write(out);
    embedding.write(out);
    out.writeLong(adaptUntil);
    out.writeInt(mean.length);
    for (double value : mean) {
      out.writeDouble(value);
    }
    out.writeInt(events.size());
    for (DriftEvent event : events) {
      out.writeLong(event.step());
      out.writeLong(event.pairs());
      out.writeUTF(event.metric());
      out.writeDouble(event.before());
      out.writeDouble(event.after());
      out.writeUTF(event.response());
    }
  }

  /**
   * @param version of the state; before 3 the recall was another, and its window is left
   */
  void read(int version, DataInput in) throws IOException {
    recall.read(in);
    if (version < 3) {
      recall.clear();
    }
    embedding.read(in);
    adaptUntil = in.readLong();
    mean = new double[in.readInt()];
    for (int i = 0; i < mean.length; i++) {
      mean[i] = in.readDouble();
    }
    events.clear();
    int count = in.readInt();
    for (int i = 0; i < count; i++) {
      events.add(
          new DriftEvent(
              in.readLong(),
              in.readLong(),
              in.readUTF(),
              in.readDouble(),
              in.readDouble(),
              in.readUTF()));
    }
  }
}
