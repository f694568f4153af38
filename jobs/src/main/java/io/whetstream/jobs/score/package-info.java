/**
 * The scoring job: items and a live watchlist of queries in, alerts out, under whatever adapter is
 * published, without ever comparing vectors of two adapters.
 *
 * <p>{@code SimilarityMatcher} embeds items and compares them; {@code AlertSuppressor} thins out
 * what matches; {@code ScoreJob} connects them to Kafka.
 */
package io.whetstream.jobs.score;
