/**
 * Images by URI: from Flink file systems and over HTTP. Nothing may be fetched unless configuration
 * allows it, and no URI in a record can make a job reach into the network it runs in.
 */
package io.whetstream.connectors.image;
