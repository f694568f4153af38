package io.whetstream.jobs.finetune;

import io.whetstream.connectors.ImageTextPair;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.metrics.Counter;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Lets the first pair of an id through. An id is remembered for {@code prepare.deduplicateFor} of
 * event time after its first pair.
 */
