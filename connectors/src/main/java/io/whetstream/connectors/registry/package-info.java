/** Where adapters are kept: files on any Flink file system, readable by their content digest. */
package io.whetstream.connectors.registry;
