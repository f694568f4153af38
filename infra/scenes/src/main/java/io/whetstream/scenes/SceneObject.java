package io.whetstream.scenes;

/**
 * One shape of a scene.
 *
 * @param cell its place in the 3x3 grid, {@code row * 3 + column}, 0 to 8
 */
public record SceneObject(Size size, Fill fill, Colour colour, Shape shape, int cell) {
  public SceneObject {
    if (cell < 0 || cell > 8) {
      throw new IllegalArgumentException("a cell is 0 to 8, not " + cell);
    }
  }

  int row() {
    return cell / 3;
  }

  int column() {
    return cell % 3;
  }

  SceneObject with(Size value) {
    return new SceneObject(value, fill, colour, shape, cell);
  }

  SceneObject with(Fill value) {
    return new SceneObject(size, value, colour, shape, cell);
  }

  SceneObject with(Colour value) {
    return new SceneObject(size, fill, value, shape, cell);
  }

  SceneObject with(Shape value) {
    return new SceneObject(size, fill, colour, value, cell);
  }

  SceneObject at(int newCell) {
    return new SceneObject(size, fill, colour, shape, newCell);
  }

  /** Everything but the place, as one small number; equal objects look alike. */
  @SuppressWarnings("EnumOrdinal") // The order of the values is part of what a seed means.
  int look() {
    return ((colour.ordinal() * 16 + shape.ordinal()) * 4 + fill.ordinal()) * 2 + size.ordinal();
  }

  boolean looksLike(SceneObject other) {
    return look() == other.look();
  }
}
