package io.whetstream.connectors;

import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;

/** Keeps secrets out of whatever is printed. */
public final class Secrets {
  /** What stands in place of a secret. */
  public static final String MASK = "******";

  private static final Pattern SECRET_KEY =
      Pattern.compile(
          "password|passwd|secret|token|credential|jaas|api[._-]?key|access[._-]?key|private[._-]?key|certificates"
              + "|auth\\.user\\.info|keystore\\.key|certificate\\.chain|sasl\\.oauthbearer.*assertion");
  private static final Pattern USER_INFO = Pattern.compile("(?<=://)[^/@\\s]+(?=@)");
  private static final Pattern QUERY_SECRET =
      Pattern.compile(
          "(?i)([?&][^=&]*(?:token|secret|signature|sig|password|key|credential)[^=&]*=)[^&\\s]+");

  private Secrets() {}

  /** Whether the value of such a key must not be printed. */
  public static boolean isSecret(String key) {
    return SECRET_KEY.matcher(key.toLowerCase(Locale.ROOT)).find();
  }

  /** The properties in order of their names, with the values of secret ones masked. */
  public static Map<String, String> mask(Map<?, ?> properties) {
    Map<String, String> masked = new TreeMap<>();
    properties.forEach(
        (key, value) ->
            masked.put(
                String.valueOf(key),
                isSecret(String.valueOf(key)) ? MASK : maskUri(String.valueOf(value))));
    return masked;
  }

  /** A text with user information and signed query parameters of the URIs in it masked. */
  public static String maskUri(String text) {
    return QUERY_SECRET.matcher(USER_INFO.matcher(text).replaceAll(MASK)).replaceAll("$1" + MASK);
  }
}
