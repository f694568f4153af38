/**
 * Topics, sources and sinks. Sources read only what is committed and turn what they cannot read
 * into dead letters; sinks are exactly-once unless asked otherwise.
 */
package io.whetstream.connectors.kafka;
