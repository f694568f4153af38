/**
 * The web console: what the jobs learn, publish and find, read from the topics, the adapter
 * registry and Flink's REST interface, and the few orders that a person gives.
 */
package io.whetstream.console;
