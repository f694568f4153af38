package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Item;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.StopSignal;
import io.whetstream.scenes.DemoBase;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.io.TempDir;

/** The console of a running demo as a person uses it, in headless Chromium. One demo for all. */
@Tag("browser")
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class ConsoleBrowserTest {
  private static final Path SHOTS = Path.of("target", "console");
  private static final String MARKUP =
      "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=2</script><b>bold</b>";
  private static final List<String> SMALL =
      List.of(
          "training.globalBatch=16",
          "mining.candidates=16",
          "mining.depth=0",
          "publish.everySteps=3",
          "publish.comparePublishedEvery=1",
          "heldOut.share=0.2",
          "gate.minSample=2",
          "gate.minChange=-1");

  @TempDir static Path temp;

  private static final StopSignal STOP = StopSignal.manual();
  private static final CompletableFuture<String> LINK = new CompletableFuture<>();
  private static final CompletableFuture<String> KAFKA = new CompletableFuture<>();
  private static final CompletableFuture<Void> ENDED = new CompletableFuture<>();
  private static Browser browser;

  @BeforeAll
  static void startDemoAndBrowser() throws Exception {
    browser = Browser.open(temp.resolve("profile"));
    Demo demo =
        new Demo(
                new DemoOptions(3600, 1, 20, 4, 1, 4),
                LocalOptions.in(temp.resolve("data")),
                DemoBase.unpack(temp.resolve("base")),
                null,
                new StreamJobs(SMALL),
                STOP,
                Demo.lines(ConsoleBrowserTest::said))
            .withConsole(0, false);
    Thread thread =
        new Thread(
            () -> {
              try {
                demo.run();
                ENDED.complete(null);
              } catch (Exception | Error e) {
                ENDED.completeExceptionally(e);
                LINK.completeExceptionally(e);
              }
            },
            "demo");
    thread.start();
    browser.prefer("light");
    browser.go(LINK.get(120, TimeUnit.SECONDS));
  }

  @AfterAll
  static void stopDemoAndBrowser() throws Exception {
    if (browser != null) {
      browser.close();
      STOP.ask();
      ENDED.get(120, TimeUnit.SECONDS);
    }
  }

  private static void said(String line) {
    if (line.startsWith("console ")) {
      LINK.complete(line.substring("console ".length()));
    } else if (line.startsWith("Kafka ")) {
      KAFKA.complete(line.substring("Kafka ".length(), line.indexOf(',')));
    }
  }

  /** Steps on the recall chart. */
  private static final String POINTS =
      "(Chart.getChart('recall')?.data.datasets[0].data.length || 0)";

  @Test
  @Order(1)
  void theTokenLeavesTheAddressAndNothingIsAskedFor() {
    browser.until("the page is live", "document.getElementById('link').textContent === 'live'");
    assertFalse(String.valueOf(browser.ask("location.href")).contains("token"));
    assertEquals(true, browser.ask("document.getElementById('unlock').hidden"));
  }

  @Test
  @Order(2)
  void theRecallChartMovesAndShowsPublishes() {
    browser.until("the chart has points", POINTS + " > 2");
    long points = (Long) browser.ask(POINTS);
    browser.until("the chart goes on", POINTS + " > " + points);
    browser.until(
        "a publish is marked",
        "Chart.getChart('recall').options.plugins.marks.list.some(m => m.kind === 'publish')");
    browser.until(
        "published has a line", "Chart.getChart('recall').data.datasets[1].data.length > 0");
    browser.until(
        "losses have lines",
        "Chart.getChart('losses').data.datasets.every(d => d.data.length > 0)");
  }

  @Test
  @Order(3)
  void aQueryAddedInThePageRaisesAnAlertWithItsImage() {
    browser.click("#newquery");
    browser.type("#queryform [name=id]", "anything");
    browser.type("#queryform [name=text]", "a <i>red</i> circle");
    browser.click("#queryform [value=score]");
    browser.type("#queryform [name=score]", "-1");
    browser.click("#queryform button[type=submit]");
    browser.until(
        "the job has taken the query",
        "document.querySelector('[data-query=anything] .pill.good')");
    browser.until(
        "an alert of it has an image",
        "[...document.querySelectorAll('.alert')].some(a => a.querySelector('h3').textContent"
            + " === 'a <i>red</i> circle' && a.querySelector('img.pic')?.naturalWidth > 0)");
  }

  @Test
  @Order(4)
  void markupInAnItemStaysText() throws Exception {
    String servers = KAFKA.get();
    Topics topics = new Topics("");
    byte[] value =
        RecordFormat.json()
            .codec(RecordType.ITEM, topics.items())
            .encode(
                new Item(
                    "item-900000",
                    null,
                    null,
                    MARKUP,
                    "test",
                    System.currentTimeMillis(),
                    null,
                    null));
    try (KafkaProducer<byte[], byte[]> producer =
        KafkaConnection.of(servers).producer(Topics.MAX_RECORD_BYTES)) {
      producer
          .send(
              new ProducerRecord<>(
                  topics.items(), "item-900000".getBytes(StandardCharsets.UTF_8), value))
          .get();
    }
    browser.until(
        "the item's text is shown",
        "[...document.querySelectorAll('.itemtext')].some(p => p.textContent.includes('onerror'))");
    assertEquals(
        MARKUP,
        browser.ask(
            "[...document.querySelectorAll('.itemtext')].find(p =>"
                + " p.textContent.includes('onerror')).textContent"));
    assertEquals(0L, browser.ask("document.querySelectorAll('.itemtext *').length"));
    assertEquals(true, browser.ask("window.harmed === undefined"));
  }

  @Test
  @Order(5)
  void scriptsCouldNotWriteMarkupIfTheyTried() {
    assertEquals(List.of(), browser.errors());
    assertEquals(
        "TypeError",
        browser.ask(
            "(() => { try { document.createElement('p').innerHTML = '<b>x</b>'; return 'written'; }"
                + " catch (e) { return e.name; } })()"));
    List<String> blocked = browser.errors();
    assertTrue(
        blocked.stream().anyMatch(e -> e.contains("'TrustedHTML' assignment")), blocked.toString());
  }

  @Test
  @Order(6)
  void verdictsComeBackFromTheTopicByMouseAndByKey() {
    browser.click("#hold");
    browser.click(".alert:nth-child(1) [data-act=confirm]");
    browser.until("confirmed", "document.querySelector('.alert:nth-child(1) .pill.good')");
    browser.press(".alert:nth-child(2)", "r");
    browser.until("rejected", "document.querySelector('.alert:nth-child(2) .pill.bad')");
    browser.press(".alert:nth-child(2)", "k");
    assertEquals(true, browser.ask("document.activeElement === document.querySelector('.alert')"));
    browser.click("#hold");
    browser.until(
        "the tile counts",
        "document.getElementById('t-alerts-sub').textContent.includes('1 confirmed · 1 rejected')");
  }

  @Test
  @Order(7)
  void rollbackChangesWhatScoresUntilResume() {
    browser.until(
        "two adapters", "document.querySelectorAll('#adapterlist tr [data-act]').length > 0");
    String digest =
        (String)
            browser.ask(
                "document.querySelector('#adapterlist"
                    + " tr:last-child').getAttribute('data-adapter')");
    browser.click("#adapterlist tr:last-child [data-act=rollback]");
    browser.type("#rollbackform [name=reason]", "to <b>see</b> it work");
    browser.click("#rollbackform button[type=submit]");
    browser.until(
        "the rollback is shown",
        "document.getElementById('rolledback').textContent.includes('to <b>see</b> it work')");
    browser.until(
        "that adapter is in use",
        "document.querySelector('#adapterlist tr.current')?.dataset.adapter === '" + digest + "'");
    browser.until(
        "the newest alert is scored by it",
        "document.querySelector('.alert .meta code')?.textContent === '"
            + digest.substring(0, 8)
            + "'");
    browser.click("#rolledback button");
    browser.until("resumed", "document.getElementById('rolledback').hidden");
    browser.until(
        "a newer one is published and in use",
        "document.querySelector('#adapterlist tr.current')?.dataset.adapter !== '" + digest + "'");
  }

  @Test
  @Order(8)
  void aManifestShowsTheLineageToTheBase() {
    browser.click("#adapterlist tr:first-child button");
    browser.until(
        "the manifest", "document.getElementById('manifest').textContent.includes('baseDigest')");
    assertTrue(browser.text("#lineage").contains("base"), browser.text("#lineage"));
    assertEquals(List.of(), browser.accessibilityProblems());
    browser.click("#manifestdialog [data-close]");
  }

  @Test
  @Order(9)
  void deadLettersAndJobsAreShown() {
    browser.until("a dead letter", "document.querySelector('#deadlist li pre')");
    browser.until("both jobs run", "document.querySelectorAll('.job .pill.good').length === 2");
    browser.until(
        "checkpoints are counted",
        "document.getElementById('joblist').textContent.includes('last checkpoint')");
  }

  @Test
  @Order(10)
  void lightDarkAndPhoneAreAccessible() throws Exception {
    browser.click("#watchlist h2");
    browser.screenshot(SHOTS.resolve("light.png"));
    assertEquals(List.of(), browser.accessibilityProblems(), "light");
    browser.prefer("dark");
    browser.until("dark", "document.documentElement.dataset.theme === 'dark'");
    browser.ask("window.scrollTo(0, 0)");
    browser.screenshot(SHOTS.resolve("dark.png"));
    browser.screen(390, 844, true);
    browser.until("narrow", "matchMedia('(max-width: 620px)').matches");
    assertEquals(
        List.of(),
        browser.ask(
            "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, nav, .skip')"
                + " && e.getBoundingClientRect().right > 391)"
                + ".map(e => e.tagName + '#' + e.id + '.' + e.className)"),
        "nothing sticks out");
    assertEquals(390L, browser.ask("document.documentElement.scrollWidth"));
    assertEquals(List.of(), browser.accessibilityProblems(), "dark, on a phone");
    browser.screenshot(SHOTS.resolve("phone.png"));
    browser.prefer("light");
    browser.screen(1440, 2400, false);
    browser.until("light", "document.documentElement.dataset.theme === 'light'");
    browser.screenshot(SHOTS.resolve("whole.png"));
  }

  @Test
  @Order(11)
  void theCheckFindsAPageWithoutLabels() {
    browser.ask(
        "(() => { const i = document.createElement('input'); i.id = 'unlabelled';"
            + " document.querySelector('main').append(i); return 1; })()");
    List<String> found = browser.accessibilityProblems();
    assertTrue(found.stream().anyMatch(p -> p.startsWith("label")), found.toString());
    browser.ask("document.getElementById('unlabelled').remove()");
  }

  @Test
  @Order(12)
  void aRemovedQueryIsGone() {
    browser.click("[data-query=anything] [aria-label^=Remove]");
    browser.until("gone", "!document.querySelector('[data-query=anything]')");
  }

  @Test
  @Order(13)
  void theBrowserFoundNothingToComplainAbout() {
    assertEquals(List.of(), browser.errors());
  }
}
