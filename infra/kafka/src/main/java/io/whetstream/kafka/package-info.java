/** A Kafka broker inside the process, for local runs and tests. */
package io.whetstream.kafka;
