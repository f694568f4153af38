package io.whetstream.jobs.finetune;

import io.whetstream.connectors.types.ValueTypeInfo;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Serializers and type information of what flows between the stages and lies in keyed state. */
final class StreamTypes {
  static final TypeInformation<MinedPair> PAIR =
      new ValueTypeInfo<>(MinedPair.class, new PairSerializer());
  static final TypeInformation<PreparedImage> PREPARED =
      new ValueTypeInfo<>(PreparedImage.class, new PreparedSerializer());
  static final TypeInformation<PairGroup> GROUP =
      new ValueTypeInfo<>(PairGroup.class, new GroupSerializer());
  static final TypeInformation<Sketch> SKETCH =
      new ValueTypeInfo<>(Sketch.class, new SketchSerializer());
  static final TypeInformation<BucketState> BUCKET =
      new ValueTypeInfo<>(BucketState.class, new BucketSerializer());

  private StreamTypes() {}

  /** Serializer of {@link MinedPair}. */
  static final class PairSerializer extends VersionedSerializer<MinedPair> {
    private static final long serialVersionUID = 1L;

    PairSerializer() {
      super(1);
    }

    @Override
    void write(MinedPair pair, DataOutputView out) throws IOException {
      writeText(pair.id(), out);
      writeBytes(pair.image(), out);
      writeText(pair.shortCaption(), out);
      writeText(pair.longCaption(), out);
      writeText(pair.imageDigest(), out);
      writeText(pair.captionDigest(), out);
      writeBytes(pair.vector(), out);
      out.writeInt(pair.bucket());
      out.writeLong(pair.eventTime());
      out.writeInt(pair.partition());
      out.writeLong(pair.offset());
    }

    @Override
    MinedPair read(int version, DataInputView in) throws IOException {
      return new MinedPair(
          readText(in),
          readBytes(in),
          readText(in),
          readText(in),
          readText(in),
          readText(in),
          readBytes(in),
          in.readInt(),
          in.readLong(),
          in.readInt(),
          in.readLong());
    }

    @Override
    public TypeSerializerSnapshot<MinedPair> snapshotConfiguration() {
      return new PairSnapshot();
    }
  }

  /** Snapshot of {@link PairSerializer}. */
  public static final class PairSnapshot extends SimpleTypeSerializerSnapshot<MinedPair> {
    /** For Flink. */
    public PairSnapshot() {
      super(PairSerializer::new);
    }
  }

  /** Serializer of {@link PreparedImage}; used only where its two stages are not chained. */
  static final class PreparedSerializer extends VersionedSerializer<PreparedImage> {
    private static final long serialVersionUID = 1L;

    private final PairSerializer pairs = new PairSerializer();

    PreparedSerializer() {
      super(2);
    }

    @Override
    void write(PreparedImage prepared, DataOutputView out) throws IOException {
      pairs.serialize(prepared.pair(), out);
      ImageGeometry geometry = prepared.image().geometry();
      out.writeInt(geometry.inputs());
      out.writeInt(geometry.height());
      out.writeInt(geometry.width());
      out.writeInt(geometry.rows());
      out.writeInt(geometry.columns());
      out.writeInt(geometry.unpaddedHeight());
      out.writeInt(geometry.unpaddedWidth());
      out.writeInt(geometry.tokens());
      for (float value : prepared.image().pixels()) {
        out.writeFloat(value);
      }
    }

    @Override
    PreparedImage read(int version, DataInputView in) throws IOException {
      MinedPair pair = pairs.deserialize(in);
      if (version == 1) {
        return new PreparedImage(pair, square(in));
      }
      ImageGeometry geometry =
          new ImageGeometry(
              in.readInt(),
              in.readInt(),
              in.readInt(),
              in.readInt(),
              in.readInt(),
              in.readInt(),
              in.readInt(),
              in.readInt());
      return new PreparedImage(pair, new ModelImage(geometry, floats(in, geometry.values())));
    }

    /**
     * What the first version wrote: squares without a word on their tokens, which mining ignores.
     */
    private static ModelImage square(DataInputView in) throws IOException {
      int values = in.readInt();
      int side = (int) Math.round(Math.sqrt(values / 3.0));
      return new ModelImage(ImageGeometry.whole(side, side, 1), floats(in, values));
    }

    private static float[] floats(DataInputView in, int count) throws IOException {
      float[] values = new float[count];
      for (int i = 0; i < count; i++) {
        values[i] = in.readFloat();
      }
      return values;
    }

    @Override
    public TypeSerializerSnapshot<PreparedImage> snapshotConfiguration() {
      return new PreparedSnapshot();
    }
  }

  /** Snapshot of {@link PreparedSerializer}. */
  public static final class PreparedSnapshot extends SimpleTypeSerializerSnapshot<PreparedImage> {
    /** For Flink. */
    public PreparedSnapshot() {
      super(PreparedSerializer::new);
    }
  }

  /** Serializer of {@link PairGroup}. */
  static final class GroupSerializer extends VersionedSerializer<PairGroup> {
    private static final long serialVersionUID = 1L;

    private final PairSerializer pairs = new PairSerializer();

    GroupSerializer() {
      super(1);
    }

    @Override
    void write(PairGroup group, DataOutputView out) throws IOException {
      out.writeInt(group.fresh());
      out.writeInt(group.pairs().size());
      for (MinedPair pair : group.pairs()) {
        pairs.serialize(pair, out);
      }
    }

    @Override
    PairGroup read(int version, DataInputView in) throws IOException {
      int fresh = in.readInt();
      int size = in.readInt();
      List<MinedPair> members = new ArrayList<>(size);
      for (int i = 0; i < size; i++) {
        members.add(pairs.deserialize(in));
      }
      return new PairGroup(members, fresh);
    }

    @Override
    public TypeSerializerSnapshot<PairGroup> snapshotConfiguration() {
      return new GroupSnapshot();
    }
  }

  /** Snapshot of {@link GroupSerializer}. */
  public static final class GroupSnapshot extends SimpleTypeSerializerSnapshot<PairGroup> {
    /** For Flink. */
    public GroupSnapshot() {
      super(GroupSerializer::new);
    }
  }

  /** Serializer of {@link Sketch}. */
  static final class SketchSerializer extends VersionedSerializer<Sketch> {
    private static final long serialVersionUID = 1L;

    SketchSerializer() {
      super(2);
    }

    @Override
    void write(Sketch sketch, DataOutputView out) throws IOException {
      out.writeLong(sketch.number());
      writeBytes(sketch.vector(), out);
      writeBytes(sketch.words(), out);
      out.writeLong(sketch.image());
      out.writeLong(sketch.caption());
      out.writeLong(sketch.deadline());
      out.writeInt(sketch.bytes());
    }

    @Override
    Sketch read(int version, DataInputView in) throws IOException {
      long number = in.readLong();
      byte[] vector = readBytes(in);
      byte[] words = version < 2 ? new byte[0] : readBytes(in);
      return new Sketch(
          number,
          vector,
          Sketch.norm(vector),
          words,
          Sketch.norm(words),
          in.readLong(),
          in.readLong(),
          in.readLong(),
          in.readInt());
    }

    @Override
    public TypeSerializerSnapshot<Sketch> snapshotConfiguration() {
      return new SketchSnapshot();
    }
  }

  /** Snapshot of {@link SketchSerializer}. */
  public static final class SketchSnapshot extends SimpleTypeSerializerSnapshot<Sketch> {
    /** For Flink. */
    public SketchSnapshot() {
      super(SketchSerializer::new);
    }
  }

  /** Serializer of {@link BucketState}. */
  static final class BucketSerializer extends VersionedSerializer<BucketState> {
    private static final long serialVersionUID = 1L;

    BucketSerializer() {
      super(2);
    }

    @Override
    void write(BucketState state, DataOutputView out) throws IOException {
      out.writeLong(state.next());
      out.writeLong(state.groups());
      out.writeLong(state.retired());
      out.writeLong(state.timer());
      out.writeBoolean(state.watched());
      state.waiting().write(out);
    }

    @Override
    BucketState read(int version, DataInputView in) throws IOException {
      return new BucketState(
          in.readLong(),
          in.readLong(),
          in.readLong(),
          in.readLong(),
          in.readBoolean(),
          version < 2 ? null : IdSum.read(in));
    }

    @Override
    public TypeSerializerSnapshot<BucketState> snapshotConfiguration() {
      return new BucketSnapshot();
    }
  }

  /** Snapshot of {@link BucketSerializer}. */
  public static final class BucketSnapshot extends SimpleTypeSerializerSnapshot<BucketState> {
    /** For Flink. */
    public BucketSnapshot() {
      super(BucketSerializer::new);
    }
  }
}
