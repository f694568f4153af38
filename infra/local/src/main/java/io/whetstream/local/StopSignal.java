package io.whetstream.local;

import io.whetstream.model.NativeWork;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Ctrl-C and a polite kill, turned into something a program can wait for. A shutdown hook would not
 * do: Flink's own hooks would take the cluster down beside it. The second signal ends the process
 * at once.
 */
public final class StopSignal {
  private static final Logger LOG = LoggerFactory.getLogger(StopSignal.class);
  private static final int INTERRUPTED = 130;

  /** For the step under way: without it the process would end in a crash. */
  private static final Duration AT_ONCE = Duration.ofSeconds(5);

  private final CountDownLatch asked = new CountDownLatch(1);

  private StopSignal() {}

  /** Takes over INT and TERM for this process. */
  public static StopSignal install() {
    StopSignal signal = new StopSignal();
    signal.handle("INT");
    signal.handle("TERM");
    return signal;
  }

  /** One that only {@link #ask} sets off. */
  public static StopSignal manual() {
    return new StopSignal();
  }

  /** As if a signal had come. */
  public void ask() {
    if (asked.getCount() == 0) {
      NativeWork.end(AT_ONCE);
      Runtime.getRuntime().halt(INTERRUPTED);
    }
    asked.countDown();
  }

  /** Whether a stop was asked for. */
  public boolean asked() {
    return asked.getCount() == 0;
  }

  /** Waits until a stop is asked for or the time is over; whether it was asked for. */
  public boolean await(long time, TimeUnit unit) throws InterruptedException {
    return asked.await(time, unit);
  }

  /** By reflection: the class is not part of the platform's documented API, and may be absent. */
  private void handle(String name) {
    try {
      Class<?> type = Class.forName("sun.misc.Signal");
      Class<?> handlerType = Class.forName("sun.misc.SignalHandler");
      Object handler =
          Proxy.newProxyInstance(
              StopSignal.class.getClassLoader(),
              new Class<?>[] {handlerType},
              (proxy, method, arguments) -> {
                if (method.getName().equals("handle")) {
                  ask();
                  return null;
                }
                return switch (method.getName()) {
                  case "hashCode" -> System.identityHashCode(proxy);
                  case "equals" -> proxy == arguments[0];
                  default -> name;
                };
              });
      Method handle = type.getMethod("handle", type, handlerType);
      handle.invoke(null, type.getConstructor(String.class).newInstance(name), handler);
    } catch (ReflectiveOperationException | RuntimeException e) {
      LOG.warn("signal {} cannot be handled: it ends the process without a savepoint", name, e);
    }
  }
}
