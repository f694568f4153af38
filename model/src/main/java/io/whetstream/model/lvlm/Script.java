package io.whetstream.model.lvlm;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDScope;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.engine.PtSymbolBlock;
import ai.djl.pytorch.jni.IValueUtils;
import ai.djl.pytorch.jni.JniUtils;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;

/**
 * A TorchScript module in native memory, which is freed with its model if not before. Weights are
 * arguments of its methods. Threads: as of {@link Lvlm}.
 */
public final class Script implements AutoCloseable {
  private final PtNDManager manager;
  private final PtSymbolBlock block;
  private final Map<String, NDArray> methods = new HashMap<>();

  Script(PtNDManager manager, byte[] archive) {
    this.manager = manager;
    try {
      block = JniUtils.loadModule(manager, new ByteArrayInputStream(archive), false, false);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Calls a method; lists are arrays with equal names that end in {@code []}. */
  public NDList call(String method, NDList arguments) {
    NDArray name =
        methods.computeIfAbsent(
            method,
            key -> {
              NDArray array = manager.create(0f);
              NDScope.unregister(array);
              array.setName("module_method:" + key);
              return array;
            });
    NDList all = new NDList(arguments.size() + 1);
    all.addAll(arguments);
    all.add(name);
    return IValueUtils.forward(block, all, true);
  }

  @Override
  public void close() {
    methods.values().forEach(NDArray::close);
    block.close();
  }
}
