/**
 * Scoring on ONNX Runtime: graphs written here, weights by reference, adapters switched per call.
 */
package io.whetstream.model.onnx;
