package io.whetstream.scenes;

/**
 * A picture, what is true of it, and one caption that is false by one edit.
 *
 * @param edit what makes the negative false; its {@link Edit#kind()} is the kind of the item
 */
public record CompositionalItem(
    String id, Scene scene, Claim positive, Claim negative, Edit edit) {}
