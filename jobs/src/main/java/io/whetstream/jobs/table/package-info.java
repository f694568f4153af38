/**
 * Whetstream in Flink SQL and the Table API: adapters as models for {@code ML_PREDICT}, computed in
 * the TaskManager's own process.
 */
package io.whetstream.jobs.table;
