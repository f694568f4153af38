/**
 * Bytes to records and back: JSON (UTF-8) and Avro (plain or framed for a schema registry). The
 * Avro schemas under {@code io/whetstream/connectors/avro} define both: field names, what is
 * required and what is the default.
 *
 * <p>Evolution: a field may be added with a default, or removed if it has one; types and names
 * stay. Unknown JSON fields are ignored. Whatever cannot be read is a {@link
 * io.whetstream.model.BadInputException}, never another exception, and never takes more memory than
 * a small multiple of the value.
 */
package io.whetstream.connectors.format;
