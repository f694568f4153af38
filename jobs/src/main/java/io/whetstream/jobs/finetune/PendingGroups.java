package io.whetstream.jobs.finetune;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.apache.flink.core.memory.DataInputViewStreamWrapper;
import org.apache.flink.core.memory.DataOutputViewStreamWrapper;

/**
 * Groups that wait for a step, oldest first. A step takes whole groups, because a pair's hardest
 * negatives are in its group: as many as fit the batch. Not thread-safe.
 */
final class PendingGroups {
  /** A pair of a coming batch, new or shown again. */
  record Member(MinedPair pair, boolean fresh) {}

  private final List<List<Member>> groups = new ArrayList<>();
  private int pairs;

  void add(List<Member> group) {
    if (!group.isEmpty()) {
      groups.add(List.copyOf(group));
      pairs += group.size();
    }
  }

  /** Pairs of all groups. */
  int pairs() {
    return pairs;
  }

  /** Groups, oldest first. */
  List<List<Member>> all() {
    return List.copyOf(groups);
  }

  /**
   * The groups of the next batch, left where they are.
   *
   * @param most pairs of a batch; a larger group is a batch of its own
   * @return none as long as another group may fit in
   */
  List<List<Member>> next(int most) {
    if (pairs < most) {
      return List.of();
    }
    int count = 0;
    int size = 0;
    while (count < groups.size() && (count == 0 || size + groups.get(count).size() <= most)) {
      size += groups.get(count).size();
      count++;
    }
    return List.copyOf(groups.subList(0, count));
  }

  /** Removes the oldest groups. */
  void remove(int count) {
    List<List<Member>> gone = groups.subList(0, count);
    gone.forEach(group -> pairs -= group.size());
    gone.clear();
  }

  /** Removes a group. */
  List<Member> removeAt(int position) {
    List<Member> gone = groups.remove(position);
    pairs -= gone.size();
    return gone;
  }

  void write(DataOutputStream out) throws IOException {
    out.writeInt(groups.size());
    for (List<Member> group : groups) {
      writePairs(out, group.stream().map(Member::pair).toList());
      for (Member member : group) {
        out.writeBoolean(member.fresh());
      }
    }
  }

  void read(DataInputStream in) throws IOException {
    int count = in.readInt();
    for (int i = 0; i < count; i++) {
      readGroup(in);
    }
  }

  /** Reads one group; what releases before version 3 of the state wrote was as one. */
  void readGroup(DataInputStream in) throws IOException {
    List<Member> group = new ArrayList<>();
    for (MinedPair pair : readPairs(in)) {
      group.add(new Member(pair, in.readBoolean()));
    }
    add(group);
  }

  static void writePairs(DataOutputStream out, Collection<MinedPair> pairs) throws IOException {
    StreamTypes.PairSerializer serializer = new StreamTypes.PairSerializer();
    out.writeInt(pairs.size());
    DataOutputViewStreamWrapper view = new DataOutputViewStreamWrapper(out);
    for (MinedPair pair : pairs) {
      serializer.serialize(pair, view);
    }
    view.flush();
  }

  static List<MinedPair> readPairs(DataInputStream in) throws IOException {
    StreamTypes.PairSerializer serializer = new StreamTypes.PairSerializer();
    DataInputViewStreamWrapper view = new DataInputViewStreamWrapper(in);
    int count = in.readInt();
    List<MinedPair> pairs = new ArrayList<>(count);
    for (int i = 0; i < count; i++) {
      pairs.add(serializer.deserialize(view));
    }
    return pairs;
  }
}
