/**
 * Flink type information of records, without Kryo. Serialised records carry the Avro schema they
 * were written with in the snapshot of their serializer, so state of an earlier release is read by
 * a later one under the evolution rules of {@link io.whetstream.connectors.format}.
 */
package io.whetstream.connectors.types;
