/**
 * What travels through Kafka, as Java records. Times are milliseconds since 1970-01-01 UTC, digests
 * are SHA-256 in lower-case hexadecimal, scores are cosines. Arrays in records belong to the
 * record: they are neither copied nor changed after construction.
 *
 * <p>A record that cannot be valid cannot be constructed: constructors throw {@link
 * io.whetstream.model.BadInputException} with the field and the remedy. Fields that may be null say
 * so.
 */
package io.whetstream.connectors.records;
