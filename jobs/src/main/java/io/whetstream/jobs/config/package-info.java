/**
 * Typed configuration of the jobs: records with defaults, read from one YAML file and {@code -D}
 * overrides by {@link io.whetstream.jobs.config.ConfigLoader}.
 */
package io.whetstream.jobs.config;
