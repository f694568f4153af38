/**
 * Files of image-caption pairs: JSON lines, read with line numbers for whoever must repair them.
 */
package io.whetstream.model.pairs;
