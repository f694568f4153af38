package io.whetstream.cli;

import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;
import picocli.CommandLine.IVersionProvider;

/** The version, written into a resource by the build. */
final class Version implements IVersionProvider {
  @Override
  public String[] getVersion() throws IOException {
    Properties properties = new Properties();
    try (InputStream in = Version.class.getResourceAsStream("/whetstream.properties")) {
      properties.load(in);
    }
    return new String[] {"whetstream " + properties.getProperty("version")};
  }
}
