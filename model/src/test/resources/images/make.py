"""Makes the pictures of this directory and what Pillow decodes them to (expected/), with Pillow 12.

    python3 make.py

Run in this directory. Each picture NAME.EXT has expected/NAME.EXT.png: EXIF orientation applied,
converted to RGB. Pictures under broken/ have no expectation: they are to be refused.
"""

import io
import math
import pathlib
import random
import struct
import zlib

from PIL import Image, ImageOps

W, H = 37, 23


def scene(width=W, height=H):
    draws = random.Random(7)
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            r = int(127 + 127 * math.sin(x / 4 + y / 9))
            g = int(255 * y / height)
            b = 255 if (x // 5 + y // 4) % 2 else 20
            image.putpixel((x, y), (r, g, max(0, min(255, b + draws.randint(-20, 20)))))
    return image


def alpha(image):
    image = image.convert("RGBA")
    for y in range(image.height):
        for x in range(image.width):
            r, g, b, _ = image.getpixel((x, y))
            image.putpixel((x, y), (r, g, b, (x * 7 + y * 3) % 256))
    return image


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, extra=b"", interlace=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def packed(depth, width, height, value):
    rows = []
    for y in range(height):
        bits = "".join(format(value(x, y), f"0{depth}b") for x in range(width))
        bits += "0" * (-len(bits) % 8)
        rows.append(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)))
    return rows


def wide(channels, width, height):
    draws = random.Random(channels)
    return [
        b"".join(struct.pack(">H", draws.randrange(65536)) for _ in range(channels * width))
        for _ in range(height)
    ]


def saved(image, fmt, **options):
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def with_adobe_transform(jpeg, transform):
    at = jpeg.index(b"\xff\xee\x00\x0eAdobe")
    return jpeg[: at + 15] + bytes([transform]) + jpeg[at + 16 :]


def gif_with_offset(transparent):
    """A screen of 12x10 whose first frame lies at (3, 2)."""
    frame = Image.new("P", (6, 5))
    for y in range(5):
        for x in range(6):
            frame.putpixel((x, y), (x + y) % 4)
    frame.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0, 0, 0, 200] + [0] * 756)
    whole = bytearray(saved(frame, "GIF", **({"transparency": 2} if transparent else {})))
    struct.pack_into("<HH", whole, 6, 12, 10)
    at = whole.index(b"\x2c", 13 + 3 * 2 ** ((whole[10] & 7) + 1))
    struct.pack_into("<HH", whole, at + 1, 3, 2)
    return bytes(whole)


def bmp16(width, height):
    """Five bits a channel."""
    stride = (width * 2 + 3) // 4 * 4
    rows = b""
    for y in range(height):
        row = b"".join(struct.pack("<H", (x * 911 + y * 77) & 0x7FFF) for x in range(width))
        rows += row.ljust(stride, b"\0")
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + header + rows


def main():
    s = scene()
    p = s.quantize(16)
    files = {
        "baseline_420.jpg": saved(s, "JPEG", quality=85),
        "baseline_422.jpg": saved(s, "JPEG", quality=90, subsampling="4:2:2"),
        "progressive_420.jpg": saved(s, "JPEG", quality=80, progressive=True),
        "progressive_444.jpg": saved(s, "JPEG", quality=80, progressive=True, subsampling=0),
        "gray_progressive.jpg": saved(s.convert("L"), "JPEG", progressive=True),
        "rgb_components.jpg": saved(s, "JPEG", quality=95, keep_rgb=True),
        "profile.jpg": saved(s, "JPEG", icc_profile=b"not a colour profile at all" * 9),
        "restart.jpg": saved(s, "JPEG", restart_marker_blocks=2),
        "cmyk.jpg": saved(s.convert("CMYK"), "JPEG", quality=95),
        "ycck.jpg": with_adobe_transform(saved(s.convert("CMYK"), "JPEG", quality=95), 2),
        "cmyk_progressive.jpg": saved(s.convert("CMYK"), "JPEG", quality=95, progressive=True),
        "rgb.png": saved(s, "PNG"),
        "alpha.png": saved(alpha(s), "PNG"),
        "gray_alpha.png": saved(alpha(s).convert("LA"), "PNG"),
        "palette.png": saved(p, "PNG"),
        "palette_transparent.png": saved(p, "PNG", transparency=bytes([0, 90, 255])),
        "rgb_transparent.png": saved(s, "PNG", transparency=s.getpixel((3, 3))),
        "profile.png": saved(s, "PNG", icc_profile=b"not a colour profile at all" * 9),
        "rgb_16.png": png(W, H, 16, 2, wide(3, W, H)),
        "alpha_16.png": png(W, H, 16, 6, wide(4, W, H)),
        "gray_alpha_16.png": png(W, H, 16, 4, wide(2, W, H)),
        "gray_1.png": png(W, H, 1, 0, packed(1, W, H, lambda x, y: (x * y) % 2)),
        "gray_2.png": png(W, H, 2, 0, packed(2, W, H, lambda x, y: (x + y) % 4)),
        "gray_4.png": png(W, H, 4, 0, packed(4, W, H, lambda x, y: (x + 3 * y) % 16)),
        "palette_2.png": png(
            W, H, 2, 3,
            packed(2, W, H, lambda x, y: (x + y) % 4),
            chunk(b"PLTE", bytes([9, 8, 7, 250, 1, 2, 3, 250, 4, 5, 6, 250])),
        ),
        "interlaced.png": png(1, 1, 8, 2, [b"\x11\x22\x33"], interlace=1),
        "lossless.webp": saved(s, "WEBP", lossless=True),
        "lossless_alpha.webp": saved(alpha(s), "WEBP", lossless=True, exact=True),
        "lossy.webp": saved(s, "WEBP", quality=80),
        "lossy_alpha.webp": saved(alpha(s), "WEBP", quality=80, exact=True),
        "profile.webp": saved(s, "WEBP", lossless=True, icc_profile=b"no profile" * 9),
        "animated.webp": saved(
            s, "WEBP", lossless=True, save_all=True, append_images=[ImageOps.invert(s)]
        ),
        "palette.gif": saved(p, "GIF"),
        "transparent.gif": saved(p, "GIF", transparency=3),
        "animated.gif": saved(
            p, "GIF", save_all=True, append_images=[ImageOps.invert(s).quantize(16)]
        ),
        "offset.gif": gif_with_offset(False),
        "offset_transparent.gif": gif_with_offset(True),
        "rgb.bmp": saved(s, "BMP"),
        "palette.bmp": saved(p, "BMP"),
        "gray.bmp": saved(s.convert("L"), "BMP"),
        "one_bit.bmp": saved(s.convert("1"), "BMP"),
        "alpha.bmp": saved(alpha(s), "BMP"),
        "rgb_555.bmp": bmp16(W, H),
    }
    for value in range(1, 9):
        files[f"orientation_{value}.png"] = saved(s, "PNG", exif=exif(value))
    files["orientation_6.webp"] = saved(s, "WEBP", lossless=True, exif=exif(6))
    files["orientation_3.jpg"] = saved(s, "JPEG", quality=95, subsampling=0, exif=exif(3))

    pathlib.Path("expected").mkdir(exist_ok=True)
    for name, data in files.items():
        pathlib.Path(name).write_bytes(data)
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        image.save(f"expected/{name}.png")
    # Pillow saturates greyscale of 16 bits; the high byte is what is wanted.
    rows = wide(1, W, H)
    pathlib.Path("gray_16.png").write_bytes(png(W, H, 16, 0, rows))
    Image.frombytes("L", (W, H), b"".join(row[::2] for row in rows)).convert("RGB").save(
        "expected/gray_16.png.png"
    )

    pathlib.Path("broken").mkdir(exist_ok=True)
    bomb = png(60000, 60000, 1, 0, [b"\0"])
    pathlib.Path("broken/bomb.png").write_bytes(bomb)
    for name in ["baseline_420.jpg", "progressive_420.jpg", "rgb.png", "lossless.webp", "rgb.bmp"]:
        pathlib.Path("broken/half_" + name).write_bytes(files[name][: len(files[name]) * 3 // 5])
    pathlib.Path("broken/text.jpg").write_bytes(b"<html>404</html>")
    pathlib.Path("broken/empty.png").write_bytes(b"")


main()
