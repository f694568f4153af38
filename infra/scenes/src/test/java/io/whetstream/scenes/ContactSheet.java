package io.whetstream.scenes;

import io.whetstream.model.image.RgbImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Writes enlarged scenes side by side for a person to look at: {@code main OUT.png KIND}. */
@SuppressWarnings("EnumOrdinal") // Pairs the values up by their order.
final class ContactSheet {
  private static final int ZOOM = 4;

  private ContactSheet() {}

  public static void main(String[] args) throws IOException {
    List<Scene> scenes = new ArrayList<>();
    int columns = 8;
    switch (args[1]) {
      case "group" -> {
        SceneGenerator g = new SceneGenerator(7, SceneLook.STANDARD);
        for (int i = 0; i < 5; i++) {
          scenes.addAll(g.hardGroup(i));
        }
      }
      case "grid" -> {
        SceneGenerator g = new SceneGenerator(7, SceneLook.ANY);
        for (int i = 0; i < 16; i++) {
          scenes.add(g.grid(i));
        }
      }
      case "catalogue" -> {
        columns = 12;
        for (Fill fill : Fill.values()) {
          for (Size size : Size.values()) {
            for (Shape shape : Shape.values()) {
              scenes.add(
                  new Scene(
                      Background.values()[shape.ordinal() % 5],
                      List.of(
                          new SceneObject(size, fill, Colour.values()[shape.ordinal()], shape, 4)),
                      shape.ordinal()));
            }
          }
        }
      }
      default -> {
        SceneGenerator g = new SceneGenerator(7, SceneLook.named(args[1]));
        for (int i = 0; i < 40; i++) {
          scenes.add(g.scene(i));
        }
      }
    }
    for (int i = 0; i < scenes.size(); i++) {
      if (scenes.get(i).objects().size() < 4) {
        System.out.println(
            i / columns + "," + i % columns + " " + Captioner.shortCaption(scenes.get(i)));
      }
    }
    int cell = 50 * ZOOM;
    int rows = (scenes.size() + columns - 1) / columns;
    byte[] rgb = new byte[columns * cell * rows * cell * 3];
    for (int i = 0; i < scenes.size(); i++) {
      RgbImage image = SceneRenderer.render(scenes.get(i));
      for (int y = 0; y < 48 * ZOOM; y++) {
        for (int x = 0; x < 48 * ZOOM; x++) {
          int from = (y / ZOOM * 48 + x / ZOOM) * 3;
          int to = ((i / columns * cell + y) * columns * cell + i % columns * cell + x) * 3;
          System.arraycopy(image.rgb(), from, rgb, to, 3);
        }
      }
    }
    Files.write(
        Path.of(args[0]), SceneRenderer.png(new RgbImage(columns * cell, rows * cell, rgb)));
  }
}
