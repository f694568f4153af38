package io.whetstream.model.train;

import ai.djl.Device;
import ai.djl.util.cuda.CudaUtils;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** What a device has free for native tensors. */
final class AvailableMemory {
  /** The part of it that is planned with: other tensors and other processes want some too. */
  static final double SHARE = 0.8;

  private static final Path MEMINFO = Path.of("/proc/meminfo");
  private static final Path GROUP = Path.of("/sys/fs/cgroup");

  private AvailableMemory() {}

  /** Bytes that could be allocated now. */
  static long bytes(Device device) {
    if (device.isGpu()) {
      var usage = CudaUtils.getGpuMemory(device);
      return usage.getMax() - usage.getCommitted();
    }
    return Math.min(ofMachine(MEMINFO), ofGroup(GROUP));
  }

  /** What Linux could give without swapping; where it is not asked, what is free. */
  static long ofMachine(Path meminfo) {
    try {
      return Files.readAllLines(meminfo).stream()
          .filter(line -> line.startsWith("MemAvailable:"))
          .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("[^0-9]", "")))
          .findFirst()
          .orElseGet(AvailableMemory::free);
    } catch (IOException e) {
      return free();
    }
  }

  private static long free() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
        .getFreeMemorySize();
  }

  /** What is left to the container (control groups, version 2); without a limit no bound. */
  static long ofGroup(Path group) {
    try {
      String most = Files.readString(group.resolve("memory.max")).strip();
      if (most.equals("max")) {
        return Long.MAX_VALUE;
      }
      long current = Long.parseLong(Files.readString(group.resolve("memory.current")).strip());
      List<String> figures = Files.readAllLines(group.resolve("memory.stat"));
      // Pages of files that are given up when memory is wanted.
      long cached =
          figures.stream()
              .map(line -> line.split(" "))
              .filter(pair -> pair[0].equals("inactive_file"))
              .mapToLong(pair -> Long.parseLong(pair[1]))
              .sum();
      return Math.max(0, Long.parseLong(most) - current + cached);
    } catch (IOException | NumberFormatException e) {
      return Long.MAX_VALUE;
    }
  }
}
