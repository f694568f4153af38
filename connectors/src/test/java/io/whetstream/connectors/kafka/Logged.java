package io.whetstream.connectors.kafka;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.Appender;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.Configuration;
import org.apache.logging.log4j.core.config.LoggerConfig;
import org.apache.logging.log4j.core.config.Property;

/** Everything that this process logs while it is open, causes included. */
final class Logged extends AbstractAppender implements AutoCloseable {
  private final List<String> lines = new CopyOnWriteArrayList<>();
  private final Map<LoggerConfig, Level> levels;

  /** They have nothing to say meanwhile: it would be too much. */
  private final List<Appender> others;

  private Logged(Configuration configuration) {
    super("logged", null, null, true, Property.EMPTY_ARRAY);
    levels =
        configuration.getLoggers().values().stream()
            .collect(Collectors.toMap(logger -> logger, LoggerConfig::getLevel));
    others = List.copyOf(configuration.getRootLogger().getAppenders().values());
  }

  static Logged at(Level level) {
    LoggerContext context = (LoggerContext) LogManager.getContext(false);
    Logged logged = new Logged(context.getConfiguration());
    logged.start();
    LoggerConfig root = context.getConfiguration().getRootLogger();
    logged.others.forEach(other -> root.removeAppender(other.getName()));
    root.addAppender(logged, level, null);
    logged.levels.keySet().forEach(logger -> logger.setLevel(level));
    context.updateLoggers();
    return logged;
  }

  @Override
  public void append(LogEvent event) {
    StringBuilder line = new StringBuilder(event.getMessage().getFormattedMessage());
    for (Throwable cause = event.getThrown(); cause != null; cause = cause.getCause()) {
      line.append('\n').append(cause);
    }
    lines.add(line.toString());
  }

  List<String> lines() {
    return List.copyOf(lines);
  }

  @Override
  public void close() {
    LoggerContext context = (LoggerContext) LogManager.getContext(false);
    LoggerConfig root = context.getConfiguration().getRootLogger();
    root.removeAppender(getName());
    others.forEach(other -> root.addAppender(other, null, null));
    levels.forEach(LoggerConfig::setLevel);
    context.updateLoggers();
    stop();
  }
}
