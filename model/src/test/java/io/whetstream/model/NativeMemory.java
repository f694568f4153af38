package io.whetstream.model;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.management.JMException;
import javax.management.ObjectName;

/** What this process holds outside the Java heap. */
public final class NativeMemory {
  private NativeMemory() {}

  /**
   * Bytes of this process in memory, without the Java heap: that grows and shrinks as the collector
   * sees fit.
   */
  public static long resident() {
    System.gc();
    String heap;
    List<String> mappings;
    try {
      heap =
          (String)
              ManagementFactory.getPlatformMBeanServer()
                  .invoke(
                      new ObjectName("com.sun.management:type=DiagnosticCommand"),
                      "gcHeapInfo",
                      null,
                      null);
      mappings = Files.readAllLines(Path.of("/proc/self/smaps"));
    } catch (JMException | IOException e) {
      throw new IllegalStateException("memory cannot be measured here", e);
    }
    long begin = Long.MAX_VALUE;
    long end = 0;
    Matcher address = Pattern.compile("0x([0-9a-f]+)[,)]").matcher(heap.split("Metaspace", 2)[0]);
    while (address.find()) {
      long at = Long.parseLong(address.group(1), 16);
      begin = Math.min(begin, at);
      end = Math.max(end, at);
    }
    assertTrue(begin < end, heap);
    long kilobytes = 0;
    boolean outside = false;
    Pattern mapping = Pattern.compile("([0-9a-f]+)-[0-9a-f]+ .*");
    for (String line : mappings) {
      Matcher map = mapping.matcher(line);
      if (map.matches()) {
        long at = Long.parseUnsignedLong(map.group(1), 16);
        outside = Long.compareUnsigned(at, begin) < 0 || Long.compareUnsigned(at, end) >= 0;
      } else if (outside && line.startsWith("Rss:")) {
        kilobytes += Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    }
    return kilobytes * 1024;
  }
}
