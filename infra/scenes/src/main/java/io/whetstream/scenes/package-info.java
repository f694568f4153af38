/**
 * Drawn scenes with captions, and the demo base that is pretrained on them: what the demo, tests
 * and measurements run on. The model library knows nothing of it.
 */
package io.whetstream.scenes;
