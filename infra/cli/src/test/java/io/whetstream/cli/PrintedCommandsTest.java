package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;

/** Commands that pages print are commands that there are: whoever copies one is not refused. */
class PrintedCommandsTest {
  private static final Path ROOT = Path.of("../..").toAbsolutePath().normalize();

  /** A whole line of a block, or one between backticks that goes on after its name. */
  private static final Pattern PRINTED =
      Pattern.compile("(?m)^ *\\./whetstream +([^\\n]+)|`(?:\\./)?whetstream ([^`\\n]+)`");

  private static final Pattern WORD = Pattern.compile("\"([^\"]*)\"|\\S+");
  private static final Pattern ELSEWHERE = Pattern.compile("target|src|shared|\\..*");

  private static final CommandLine WHETSTREAM =
      Main.commandLine(Commands.all().toArray()).setCaseInsensitiveEnumValuesAllowed(true);

  @Test
  void everyPrintedCommandIsTaken() throws IOException {
    List<String> refused = new ArrayList<>();
    int commands = 0;
    for (Path page : pages()) {
      Matcher printed = PRINTED.matcher(Files.readString(page));
      while (printed.find()) {
        boolean whole = printed.group(1) != null;
        String line =
            (whole ? printed.group(1) : printed.group(2)).replaceAll("\\s#.*", "").strip();
        List<String> words =
            WORD.matcher(line)
                .results()
                .map(found -> found.group(1) == null ? found.group() : found.group(1))
                .toList();
        // In running text a command may be without its options, and "create|check" is two of them.
        if (!whole && (words.size() < 2 || line.matches(".*[|…,].*"))) {
          continue;
        }
        commands++;
        String fault = fault(words, whole);
        if (fault != null) {
          refused.add(ROOT.relativize(page) + ": " + line + ": " + fault);
        }
      }
    }
    assertEquals(List.of(), refused);
    assertTrue(commands > 20, commands + " commands found");
  }

  /** What is wrong with a command; a missing option is right in running text. */
  private static String fault(List<String> words, boolean whole) {
    try {
      WHETSTREAM.parseArgs(words.toArray(String[]::new));
      return null;
    } catch (CommandLine.MissingParameterException e) {
      return whole ? e.getMessage() : null;
    } catch (ParameterException e) {
      return e.getMessage();
    }
  }

  private static List<Path> pages() throws IOException {
    List<Path> pages = new ArrayList<>();
    Files.walkFileTree(
        ROOT,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
            String name = directory.getFileName().toString();
            boolean skipped = !directory.equals(ROOT) && ELSEWHERE.matcher(name).matches();
            return skipped ? FileVisitResult.SKIP_SUBTREE : FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
            if (file.toString().endsWith(".md")) {
              pages.add(file);
            }
            return FileVisitResult.CONTINUE;
          }
        });
    return pages;
  }
}
