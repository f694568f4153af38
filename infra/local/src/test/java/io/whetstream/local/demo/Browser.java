package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.abort;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.logging.Level;
import java.util.stream.Stream;
import org.openqa.selenium.By;
import org.openqa.selenium.OutputType;
import org.openqa.selenium.StaleElementReferenceException;
import org.openqa.selenium.WebElement;
import org.openqa.selenium.chrome.ChromeDriver;
import org.openqa.selenium.chrome.ChromeDriverService;
import org.openqa.selenium.chrome.ChromeOptions;
import org.openqa.selenium.logging.LogEntry;
import org.openqa.selenium.logging.LogType;
import org.openqa.selenium.logging.LoggingPreferences;
import org.openqa.selenium.support.ui.WebDriverWait;

/** A headless Chromium of this machine. */
final class Browser implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(150);
  private static final String AXE = "/axe.min.js";

  private final ChromeDriver driver;

  private Browser(ChromeDriver driver) {
    this.driver = driver;
  }

  /**
   * Starts it. Without one on this machine the test is left out, or fails where {@code
   * WHETSTREAM_REQUIRE_BROWSER} is set, as in continuous integration.
   */
  static Browser open(Path profile) {
    Optional<Path> chromium = find("chromium", "chromium-browser", "google-chrome");
    Optional<Path> chromedriver = find("chromedriver");
    if (chromium.isEmpty() || chromedriver.isEmpty()) {
      String missing = "chromium and chromedriver are not on the path";
      if (System.getenv("WHETSTREAM_REQUIRE_BROWSER") != null) {
        fail(missing);
      }
      abort(missing);
    }
    LoggingPreferences logs = new LoggingPreferences();
    logs.enable(LogType.BROWSER, Level.ALL);
    ChromeOptions options = new ChromeOptions();
    options.setBinary(chromium.orElseThrow().toFile());
    options.addArguments(
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--hide-scrollbars",
        "--window-size=1440,1000",
        "--user-data-dir=" + profile);
    options.setCapability("goog:loggingPrefs", logs);
    ChromeDriverService service =
        new ChromeDriverService.Builder()
            .usingDriverExecutable(chromedriver.orElseThrow().toFile())
            .usingAnyFreePort()
            .build();
    ChromeDriver driver = new ChromeDriver(service, options);
    driver.manage().timeouts().scriptTimeout(Duration.ofSeconds(60));
    return new Browser(driver);
  }

  private static Optional<Path> find(String... names) {
    return Stream.of(names)
        .flatMap(
            name ->
                Stream.of(System.getenv("PATH").split(File.pathSeparator))
                    .map(directory -> Path.of(directory, name)))
        .filter(Files::isExecutable)
        .findFirst();
  }

  void go(String address) {
    driver.get(address);
  }

  /** Waits until a condition holds in the page. */
  void until(String what, String script) {
    new WebDriverWait(driver, PATIENCE)
        .withMessage(() -> what + "; the page says " + describe())
        .until(d -> Boolean.TRUE.equals(driver.executeScript("return Boolean(" + script + ");")));
  }

  Object ask(String script) {
    return driver.executeScript("return " + script + ";");
  }

  String text(String selector) {
    return driver.findElement(By.cssSelector(selector)).getText();
  }

  /** Clicks it, once it is there; a list may be redrawn meanwhile. */
  void click(String selector) {
    new WebDriverWait(driver, PATIENCE)
        .ignoring(StaleElementReferenceException.class)
        .until(
            d -> {
              driver.executeScript(
                  "document.querySelector(arguments[0])?.scrollIntoView({block: 'center'});",
                  selector);
              d.findElement(By.cssSelector(selector)).click();
              return true;
            });
  }

  void type(String selector, String text) {
    WebElement element = driver.findElement(By.cssSelector(selector));
    element.clear();
    element.sendKeys(text);
  }

  /** Presses a key while the element has focus. */
  void press(String selector, String key) {
    new WebDriverWait(driver, PATIENCE)
        .ignoring(StaleElementReferenceException.class)
        .until(
            d -> {
              d.findElement(By.cssSelector(selector)).sendKeys(key);
              return true;
            });
  }

  /** As on a screen of that size in CSS pixels. */
  void screen(int width, int height, boolean phone) {
    driver.executeCdpCommand(
        "Emulation.setDeviceMetricsOverride",
        Map.of("width", width, "height", height, "deviceScaleFactor", 1, "mobile", phone));
  }

  /** As if the person preferred light or dark. */
  void prefer(String scheme) {
    driver.executeCdpCommand(
        "Emulation.setEmulatedMedia",
        Map.of("features", List.of(Map.of("name", "prefers-color-scheme", "value", scheme))));
  }

  /** What axe-core finds wrong, one line for each rule; empty if nothing. */
  List<String> accessibilityProblems() {
    try (InputStream in = Browser.class.getResourceAsStream(AXE)) {
      driver.executeScript(new String(in.readAllBytes(), StandardCharsets.UTF_8));
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    @SuppressWarnings("unchecked")
    List<String> found =
        (List<String>)
            driver.executeAsyncScript(
                """
                const done = arguments[arguments.length - 1];
                axe.run(document, {resultTypes: ['violations']}).then(
                  (r) => done(r.violations.map((v) => v.id + ': ' + v.help + ' at '
                    + v.nodes.map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message || '')).join('; '))),
                  (e) => done([String(e)]));
                """);
    return found;
  }

  /** Errors in the browser's console since the last call. */
  List<String> errors() {
    return driver.manage().logs().get(LogType.BROWSER).getAll().stream()
        .filter(entry -> entry.getLevel().intValue() >= Level.WARNING.intValue())
        .map(LogEntry::getMessage)
        .toList();
  }

  /** What is in view, as a PNG. */
  void screenshot(Path file) throws IOException {
    Files.createDirectories(file.getParent());
    Files.write(file, driver.getScreenshotAs(OutputType.BYTES));
  }

  private String describe() {
    String text = driver.findElement(By.tagName("main")).getText();
    return text.substring(0, Math.min(600, text.length()));
  }

  @Override
  public void close() {
    driver.quit();
  }
}
