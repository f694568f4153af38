package io.whetstream.console;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Item;
import io.whetstream.model.BadInputException;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.RgbImage;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.TimeUnit;
import javax.imageio.ImageIO;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads the items of alerts back from where they lie, on a thread of its own. An image is decoded
 * here and drawn anew as a small PNG: no byte of a stranger's file reaches a browser, and an URI in
 * an item is never followed.
 */
final class ItemReader implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(ItemReader.class);
  private static final int MOST_IMAGES = Board.MOST_ALERTS;
  private static final long MOST_PIXELS = 40_000_000;
  private static final int LONGEST_SIDE = 384;
  private static final Duration POLL = Duration.ofMillis(200);
  private static final long GIVE_UP_NANOS = Duration.ofSeconds(5).toNanos();

  private final ConsoleOptions options;
  private final Board board;
  private final LinkedBlockingDeque<String> wanted = new LinkedBlockingDeque<>();
  private final Map<String, byte[]> images = new LinkedHashMap<>();
  private final ImageDecoder decoder = new ImageDecoder(MOST_PIXELS);
  private final RecordCodec<Item> codec;
  private final Thread thread;
  private volatile boolean closed;

  ItemReader(ConsoleOptions options, Board board) {
    this.options = options;
    this.board = board;
    codec = options.format().codec(RecordType.ITEM, options.topics().items() + "-value");
    thread = new Thread(this::run, "console-items");
    thread.setDaemon(true);
    thread.start();
  }

  /** Asks for the item of an alert. The newest ones are what a person looks at. */
  void want(String alertId) {
    wanted.addFirst(alertId);
    if (wanted.size() > Board.MOST_ALERTS) {
      wanted.pollLast();
    }
  }

  /** The item's image as PNG, once it has been read. */
  Optional<byte[]> image(String alertId) {
    synchronized (images) {
      return Optional.ofNullable(images.get(alertId));
    }
  }

  @Override
  public void close() {
    closed = true;
    Threads.await(thread);
  }

  private void run() {
    while (!closed) {
      try (KafkaConsumer<byte[], byte[]> consumer = options.kafka().consumer()) {
        while (!closed) {
          String alert = wanted.poll(200, TimeUnit.MILLISECONDS);
          Board.Sources from = alert == null ? null : board.sources(alert);
          if (from != null && from.item() != null) {
            board.alertItem(alert, read(consumer, alert, from.item()));
          }
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return;
      } catch (RuntimeException e) {
        LOG.warn("items of alerts cannot be read", e);
      }
    }
  }

  private ObjectNode read(KafkaConsumer<byte[], byte[]> consumer, String alert, Coordinates at) {
    ObjectNode node = Board.object();
    // Only items: an alert made up by someone must not make us read any topic there is.
    if (!at.topic().equals(options.topics().items())) {
      return node.put("missing", "the alert names another topic than that of items");
    }
    try {
      ConsumerRecord<byte[], byte[]> record = fetch(consumer, at);
      if (record == null || record.value() == null) {
        return node.put("missing", "the item is gone from its topic");
      }
      Item item = codec.decode(record.value(), at, record.timestamp());
      node.put("text", TopicFeed.text(item.text()));
      node.put("source", TopicFeed.text(item.source()));
      node.put("imageUri", TopicFeed.text(item.imageUri()));
      if (item.image() != null) {
        byte[] png = redraw(decoder.decode(item.image(), at.toString()));
        synchronized (images) {
          images.put(alert, png);
          if (images.size() > MOST_IMAGES) {
            images.remove(images.keySet().iterator().next());
          }
        }
        node.put("image", true);
      }
      return node;
    } catch (BadInputException e) {
      LOG.debug("item of alert {} at {}", alert, at, e);
      return node.put("missing", "the item cannot be shown: " + TopicFeed.text(e.getMessage()));
    }
  }

  private ConsumerRecord<byte[], byte[]> fetch(
      KafkaConsumer<byte[], byte[]> consumer, Coordinates at) {
    TopicPartition partition = new TopicPartition(at.topic(), at.partition());
    consumer.assign(List.of(partition));
    if (consumer.beginningOffsets(List.of(partition)).get(partition) > at.offset()) {
      return null;
    }
    consumer.seek(partition, at.offset());
    long end = System.nanoTime() + GIVE_UP_NANOS;
    while (!closed && System.nanoTime() < end) {
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
        return record.offset() == at.offset() ? record : null;
      }
    }
    return null;
  }

  /** The pixels as a PNG, made smaller where they are many. */
  static byte[] redraw(RgbImage image) {
    double scale = Math.min(1, LONGEST_SIDE / (double) Math.max(image.width(), image.height()));
    int width = Math.max(1, (int) Math.round(scale * image.width()));
    int height = Math.max(1, (int) Math.round(scale * image.height()));
    BufferedImage whole =
        new BufferedImage(image.width(), image.height(), BufferedImage.TYPE_INT_RGB);
    byte[] rgb = image.rgb();
    for (int i = 0, p = 0; i < image.width() * image.height(); i++, p += 3) {
      whole.setRGB(
          i % image.width(),
          i / image.width(),
          ((rgb[p] & 0xff) << 16) | ((rgb[p + 1] & 0xff) << 8) | (rgb[p + 2] & 0xff));
    }
    BufferedImage small = whole;
    if (scale < 1) {
      small = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
      Graphics2D g = small.createGraphics();
      g.setRenderingHint(
          RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
      g.drawImage(whole, 0, 0, width, height, null);
      g.dispose();
    }
    try {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      ImageIO.write(small, "png", out);
      return out.toByteArray();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
