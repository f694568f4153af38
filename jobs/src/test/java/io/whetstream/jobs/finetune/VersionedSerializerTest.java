package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.apache.flink.util.Collector;
import org.apache.flink.util.ExceptionUtils;
import org.junit.jupiter.api.Test;

/** State in RocksDB that one version of a serializer wrote and another one reads. */
class VersionedSerializerTest {
  /** A value that got a second field in version 2. */
  private record Note(String text, int stars) {}

  private static final class NoteSerializer extends VersionedSerializer<Note> {
    private static final long serialVersionUID = 1L;

    private final int version;

    NoteSerializer(int version) {
      super(version);
      this.version = version;
    }

    @Override
    void write(Note note, DataOutputView out) throws IOException {
      writeText(note.text(), out);
      if (version > 1) {
        out.writeInt(note.stars());
      }
    }

    @Override
    Note read(int written, DataInputView in) throws IOException {
      return new Note(readText(in), written > 1 ? in.readInt() : 0);
    }

    @Override
    public TypeSerializerSnapshot<Note> snapshotConfiguration() {
      return new NoteSnapshot();
    }
  }

  /** For Flink: as it is in the newer release. */
  public static final class NoteSnapshot extends SimpleTypeSerializerSnapshot<Note> {
    public NoteSnapshot() {
      super(() -> new NoteSerializer(2));
    }
  }

  /** Says what it kept, then keeps what came. */
  private static final class Keep extends KeyedProcessFunction<String, String, String> {
    private static final long serialVersionUID = 1L;

    private final TypeSerializer<Note> serializer;
    private transient ValueState<Note> note;

    Keep(TypeSerializer<Note> serializer) {
      this.serializer = serializer;
    }

    @Override
    public void open(OpenContext context) {
      note = getRuntimeContext().getState(new ValueStateDescriptor<>("note", serializer));
    }

    @Override
    public void processElement(String text, Context context, Collector<String> out)
        throws Exception {
      out.collect(String.valueOf(note.value()));
      note.update(new Note(text, text.length()));
    }
  }

  private static KeyedOneInputStreamOperatorTestHarness<String, String, String> open(
      int version, OperatorSubtaskState state) throws Exception {
    KeyedOneInputStreamOperatorTestHarness<String, String, String> harness =
        new KeyedOneInputStreamOperatorTestHarness<>(
            new KeyedProcessOperator<>(new Keep(new NoteSerializer(version))),
            text -> text.substring(0, 1),
            Types.STRING);
    harness.setStateBackend(new EmbeddedRocksDBStateBackend());
    harness.setup();
    if (state != null) {
      harness.initializeState(state);
    }
    harness.open();
    return harness;
  }

  @Test
  void stateOfAnEarlierVersionIsReadAndWrittenOnInThePresentOne() throws Exception {
    OperatorSubtaskState state;
    try (var earlier = open(1, null)) {
      earlier.processElement("aye", 1);
      earlier.processElement("bee", 1);
      state = earlier.snapshot(1, 1);
    }
    try (var now = open(2, state)) {
      // One of the two is written again, the other one stays as it was.
      now.processElement("again", 2);
      assertEquals(List.of("Note[text=aye, stars=0]"), now.extractOutputValues());
      state = now.snapshot(2, 2);
    }
    try (var later = open(2, state)) {
      later.processElement("a", 3);
      later.processElement("b", 3);
      assertEquals(
          List.of("Note[text=again, stars=5]", "Note[text=bee, stars=0]"),
          later.extractOutputValues());
    }
    // What the present version wrote, an earlier release does not misread.
    try (var earlier = open(1, state)) {
      Exception refused = assertThrows(Exception.class, () -> earlier.processElement("a", 4));
      assertTrue(
          ExceptionUtils.findThrowableWithMessage(
                  refused, "has version 2, this release reads 1; restore with the release")
              .isPresent(),
          ExceptionUtils.stringifyException(refused));
    }
  }
}
