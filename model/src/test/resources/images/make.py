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


def tiff(kind, value):
    """A directory whose orientation is stored as another type than the usual one."""
    form = {3: "H", 4: "I", 5: "II", 8: "h", 9: "i", 12: "d"}[kind]
    data = struct.pack(">" + form, *([value, 1] if kind == 5 else [value]))
    entry, rest = (data.ljust(4, b"\0"), b"") if len(data) <= 4 else (struct.pack(">I", 26), data)
    head = b"MM" + struct.pack(">HIHHHI", 42, 8, 1, 0x0112, kind, 1)
    return head + entry + struct.pack(">I", 0) + rest


def xmp(value, attribute=True):
    name = "tiff:Orientation"
    open_, body = (f' {name}="{value}"', "") if attribute else ("", f"<{name}>{value}</{name}>")
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        f' xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{open_}>{body}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


XMP = b"http://ns.adobe.com/xap/1.0/\0"


def with_segments(jpeg, *segments):
    """Puts application segments 1 behind a JPEG file's first marker."""
    new = b"".join(b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data for data in segments)
    return jpeg[:2] + new + jpeg[2:]


def with_junk(jpeg, junk, segment):
    """Puts bytes behind one of a JPEG file's segments."""
    at = 2
    for _ in range(segment + 1):
        at += 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
    return jpeg[:at] + junk + jpeg[at:]


def with_chunk(whole, data):
    """Puts a chunk behind a PNG file's header."""
    return whole[:33] + data + whole[33:]


def before_end(whole, data):
    at = whole.rindex(b"IEND") - 4
    return whole[:at] + data + whole[at:]


def raw_profile(exif_data):
    return b"\nexif\n%8d\n" % len(exif_data) + exif_data.hex().encode() + b"\n"


def webp(width, height, picture, flags=0, **annotations):
    """An extended WebP file around another file's VP8 or VP8L chunk."""
    at = picture.index(b"VP8")
    length = 8 + struct.unpack("<I", picture[at + 4 : at + 8])[0]
    head = bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + head + (height - 1).to_bytes(3, "little")
    body += picture[at : at + length + length % 2]
    for name, data in annotations.items():
        body += name.encode().ljust(4) + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def with_size(bmp, size):
    return bmp[:2] + struct.pack("<I", size) + bmp[6:]


def os2(bmp):
    """With the header of OS/2 2.x."""
    offset = struct.unpack("<I", bmp[10:14])[0] + 24
    head = bmp[:10] + struct.pack("<II", offset, 64) + bmp[18:54]
    return head + b"\0" * 24 + bmp[54:]


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

    # Lossy WebP: sizes that end within blocks, all loop filters, noise, animation.
    for quality, (width, height) in enumerate([(1, 1), (2, 3), (15, 17), (16, 16), (64, 48), (97, 61)]):
        name = f"lossy_{width}x{height}.webp"
        files[name] = saved(scene(width, height), "WEBP", quality=4 + 19 * quality, method=quality)
    files["lossy_q0.webp"] = saved(scene(61, 47), "WEBP", quality=0, method=6)
    files["lossy_q100.webp"] = saved(scene(61, 47), "WEBP", quality=100, method=0)
    draws = random.Random(5)
    noise = Image.frombytes("RGB", (50, 41), bytes(draws.randrange(256) for _ in range(50 * 41 * 3)))
    files["lossy_noise.webp"] = saved(noise, "WEBP", quality=30)
    files["lossy_animated.webp"] = saved(
        s, "WEBP", quality=40, save_all=True, append_images=[ImageOps.invert(s)]
    )

    # Orientation in all its places and types.
    jpeg = saved(s, "JPEG", quality=95, subsampling=0)
    prefix = b"Exif\0\0"
    for kind in [4, 5, 8, 9, 12]:
        files[f"exif_type_{kind}.jpg"] = with_segments(jpeg, prefix + tiff(kind, 6))
    files["exif_type_1.jpg"] = with_segments(jpeg, prefix + tiff(3, 6).replace(b"\1\x12\0\3", b"\1\x12\0\1"))
    files["exif_prefix_twice.jpg"] = with_segments(jpeg, prefix + prefix + tiff(3, 8))
    files["exif_in_two_segments.jpg"] = with_segments(
        jpeg, prefix + tiff(3, 6)[:12], prefix + tiff(3, 6)[12:]
    )
    files["xmp_attribute.jpg"] = with_segments(jpeg, XMP + xmp(6))
    files["xmp_element.jpg"] = with_segments(jpeg, XMP + xmp(8, attribute=False))
    files["xmp_nine.jpg"] = with_segments(jpeg, XMP + xmp(9))
    files["exif_before_xmp.jpg"] = with_segments(jpeg, prefix + tiff(3, 1), XMP + xmp(6))
    whole = saved(s, "PNG")
    files["exif_prefix.png"] = with_chunk(whole, chunk(b"eXIf", prefix + tiff(3, 6)))
    files["exif_after_data.png"] = before_end(whole, chunk(b"eXIf", tiff(3, 5)))
    key = b"XML:com.adobe.xmp\0"
    files["xmp.png"] = with_chunk(whole, chunk(b"iTXt", key + b"\0\0\0\0" + xmp(6)))
    files["xmp_compressed.png"] = before_end(
        whole, chunk(b"iTXt", key + b"\1\0en\0key\0" + zlib.compress(xmp(7)))
    )
    raw = raw_profile(prefix + tiff(3, 6))
    files["raw_profile.png"] = with_chunk(whole, chunk(b"tEXt", b"Raw profile type exif\0" + raw))
    files["raw_profile_compressed.png"] = with_chunk(
        whole, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw))
    )
    for lossless in [True, False]:
        picture = saved(s, "WEBP", quality=60, lossless=lossless)
        name = "lossless" if lossless else "lossy"
        files[f"{name}_xmp.webp"] = webp(W, H, picture, 4, XMP=xmp(6))
        files[f"{name}_exif_prefix.webp"] = webp(W, H, picture, 8, EXIF=prefix + tiff(4, 8))
        files[f"{name}_exif_and_xmp.webp"] = webp(W, H, picture, 12, EXIF=tiff(3, 3), XMP=xmp(6))
        files[f"{name}_exif_not_announced.webp"] = webp(W, H, picture, 0, EXIF=tiff(3, 3))

    # What other readers pass over.
    for name, junk in {
        "zeros": b"\0" * 7,
        "text": b"hello",
        "fill": b"\xff\xff\xff",
        "escaped": b"\xff\x00\x12",
        "restart": b"\xff\xd0",
    }.items():
        files[f"junk_{name}.jpg"] = with_junk(jpeg, junk, 0 if name == "zeros" else 2)
    files["junk_at_the_end.jpg"] = jpeg + b"\0more"
    files["bad_exif.jpg"] = with_segments(jpeg, prefix + b"\xff" * 200)
    side = {
        "sbit_long": chunk(b"sBIT", b"\5" * 5),
        "text_empty": chunk(b"tEXt", b""),
        "text_no_keyword": chunk(b"tEXt", b"\0text"),
        "ztxt_not_zlib": chunk(b"zTXt", b"key\0\0not zlib"),
        "bkgd_long": chunk(b"bKGD", b"\xff" * 9),
        "hist_short": chunk(b"hIST", b"\0"),
        "splt_short": chunk(b"sPLT", b"name"),
        "time_short": chunk(b"tIME", b"\0\1"),
        "gama_zero": chunk(b"gAMA", b"\0\0\0\0"),
        "trns_long": chunk(b"tRNS", b"\0" * 300),
    }
    for name, data in side.items():
        files[f"palette_{name}.png"] = with_chunk(saved(p, "PNG"), data)
    files["rgb_palette.png"] = with_chunk(whole, chunk(b"PLTE", b"\1\2\3" * 5))
    files["gray_sbit_long.png"] = with_chunk(saved(s.convert("L"), "PNG"), side["sbit_long"])
    for name in ["rgb", "palette", "alpha"]:
        for size in [0, 54, 0xFFFFFFFF]:
            files[f"{name}_size_{size:x}.bmp"] = with_size(files[f"{name}.bmp"], size)
    files["rgb_555_size_0.bmp"] = with_size(bmp16(W, H), 0)
    files["os2.bmp"] = os2(files["rgb.bmp"])
    files["os2_palette_size_0.bmp"] = with_size(os2(files["palette.bmp"]), 0)
    files["rgb_offset_0.bmp"] = files["rgb.bmp"][:10] + b"\0\0\0\0" + files["rgb.bmp"][14:]

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
