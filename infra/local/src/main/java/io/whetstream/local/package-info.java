/**
 * Everything in one process: a Kafka broker, a Flink cluster with RocksDB and its web UI, and the
 * demo that runs on them.
 */
package io.whetstream.local;
