package io.whetstream.jobs.score;

/**
 * Vectors of an item under one adapter.
 *
 * @param digest the adapter's digest
 * @param image unit vector of the image, or null
 * @param text unit vector of the text, or null
 */
public record ItemVector(String itemId, String digest, float[] image, float[] text) {}
