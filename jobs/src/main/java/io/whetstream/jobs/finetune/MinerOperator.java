package io.whetstream.jobs.finetune;

import java.util.Arrays;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.runtime.io.AvailabilityProvider;
import org.apache.flink.runtime.io.network.partition.consumer.IndexedInputGate;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.runtime.state.VoidNamespaceSerializer;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;

/**
 * The miner as an operator: what a function cannot know of its task, it is told here, namely
 * whether input waits to be taken and output can be, and which buckets its state holds.
 */
final class MinerOperator extends KeyedProcessOperator<Integer, MinedPair, PairGroup> {
  private static final long serialVersionUID = 1L;

  MinerOperator(HardNegativeMiner miner) {
    super(miner);
  }

  @Override
  public void open() throws Exception {
    super.open();
    HardNegativeMiner function = (HardNegativeMiner) userFunction;
    function.watch(this::inputWaits, this::outputFree);
    getKeyedStateBackend()
        .applyToAllKeys(
            VoidNamespace.INSTANCE,
            VoidNamespaceSerializer.INSTANCE,
            new ValueStateDescriptor<>("bucket", StreamTypes.BUCKET),
            (key, state) -> function.recount());
  }

  private boolean inputWaits() {
    for (IndexedInputGate gate : getContainingTask().getEnvironment().getAllInputGates()) {
      if (!gate.isFinished() && gate.isAvailable()) {
        return true;
      }
    }
    return false;
  }

  private boolean outputFree() {
    return Arrays.stream(getContainingTask().getEnvironment().getAllWriters())
        .allMatch(AvailabilityProvider::isAvailable);
  }
}
