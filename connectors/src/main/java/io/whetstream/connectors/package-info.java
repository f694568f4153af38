/** What records, formats, Kafka, images and the registry share. */
package io.whetstream.connectors;
