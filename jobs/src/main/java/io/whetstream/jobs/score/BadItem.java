package io.whetstream.jobs.score;

/** An item that could not be embedded, and why. */
public record BadItem(IncomingItem item, String reason) {}
