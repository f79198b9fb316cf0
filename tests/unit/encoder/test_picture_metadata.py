"""A picture whose pixels are whole is read, whatever is beside them; and what is refused is refused for what it is."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from services.common.errors import InvalidArgument
from services.encoder.images.decode import ImageLimits, decode
from tests.support.encoder_parts import png_chunk, raw_png
from tests.support.files import png, tiff
from tests.support.pictures import encoded, picture

LIMITS = ImageLimits(max_bytes=20 << 20, max_pixels=50_000_000)
RGB = picture(41, 30)
PIXELS = np.asarray(RGB)
JPEG = encoded(RGB, "JPEG", quality=95)
TWO_MIB = zlib.compress(b"{}" * (1 << 20))


def shown(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, LIMITS))


def refusal(data: bytes, limits: ImageLimits = LIMITS) -> str:
    with pytest.raises(InvalidArgument) as caught:
        decode(data, limits)
    assert str(caught.value).startswith("image.data: ")
    return str(caught.value)


def wrong(kind: bytes, body: bytes) -> bytes:
    """With a checksum that is not its own."""
    chunk = png_chunk(kind, body)
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


CHUNKS = {
    "zTXt of 2 MiB": png_chunk(b"zTXt", b"workflow\0\0" + TWO_MIB),
    "iTXt of 2 MiB": png_chunk(b"iTXt", b"workflow\0\1\0\0\0" + TWO_MIB),
    "tEXt of 2 MiB": png_chunk(b"tEXt", b"workflow\0" + bytes(2 << 20)),
    "XMP of 2 MiB": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + TWO_MIB),
    "profile of 2 MiB": png_chunk(b"iCCP", b"press\0\0" + TWO_MIB),
    "70 texts of 1 MB": b"".join(
        png_chunk(b"zTXt", b"k%d\0\0" % i + zlib.compress(b"x" * 1_000_000)) for i in range(70)
    ),
    **{
        f"wrong checksum in {kind.decode()}": wrong(kind, body)
        for kind, body in {
            b"tEXt": b"a\0b",
            b"pHYs": b"\0\0\0\1\0\0\0\1\0",
            b"iCCP": b"icc\0\0" + zlib.compress(b"x"),
            b"tRNS": PIXELS[0, 0].astype(">u2").tobytes(),
            b"eXIf": b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0",
            b"gAMA": b"\0\0\xb1\x8f",
            b"bKGD": bytes(6),
            b"prVt": b"anything",
        }.items()
    },
    **{
        f"{len(body)} bytes of {kind.decode()}": png_chunk(kind, body)
        for kind in (b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tRNS", b"iCCP", b"eXIf", b"tIME", b"acTL", b"fcTL", b"sBIT")
        for body in (b"", b"\0\0")
    },
    "unknown compression of a text": png_chunk(b"zTXt", b"k\0\7" + zlib.compress(b"x")),
    "text that is no text": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0\xff\xfe"),
    "profile that is not deflated": png_chunk(b"iCCP", b"icc\0\0abcdef"),
    "frames out of order": png_chunk(b"acTL", struct.pack(">II", 2, 0)) + png_chunk(b"fcTL", bytes([9]) * 26),
    "two profiles": png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"x")) * 2,
    "an unknown chunk": png_chunk(b"vpAg", bytes(9)),
}


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("place", ["before the pixels", "behind"])
def test_chunks_of_a_png(name: str, place: str) -> None:
    chunks = CHUNKS[name]
    data = png(PIXELS, 8, 2, chunks) if place == "before the pixels" else png(PIXELS, 8, 2, after=chunks)
    assert np.array_equal(shown(data), PIXELS)


def test_pixels_in_many_pieces_with_or_without_an_end() -> None:
    plain = png(PIXELS, 8, 2)
    at = plain.index(b"IDAT") - 4
    (size,) = struct.unpack_from(">I", plain, at)
    body = plain[at + 8 : at + 8 + size]
    pieces = b"".join(png_chunk(b"IDAT", body[i : i + 3]) for i in range(0, size, 3)) + png_chunk(b"IDAT", b"")
    assert np.array_equal(shown(plain[:at] + pieces), PIXELS)


def test_a_png_keeps_what_says_which_way_up_it_is() -> None:
    exif = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    raw = f"\nexif\n{len(exif) + 6:8}\n{(b'Exif' + bytes(2) + exif).hex()}\n".encode()
    xmp = b'<x tiff:Orientation="6"/>'
    for chunk in (
        png_chunk(b"eXIf", exif),
        png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)),
        png_chunk(b"tEXt", b"Raw profile type exif\0" + raw),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0key\0" + zlib.compress(xmp)),
    ):
        assert np.array_equal(shown(png(PIXELS, 8, 2, chunk)), np.rot90(PIXELS, -1))


def test_a_text_bomb_is_not_inflated() -> None:
    bombs = [
        png_chunk(kind, head + zlib.compress(bytes(80 << 20)))
        for kind, head in (
            (b"zTXt", b"a\0\0"),
            (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0"),
            (b"iCCP", b"a\0\0"),
        )
    ]
    data = png(PIXELS, 8, 2, *bombs)
    tracemalloc.start()
    try:
        assert np.array_equal(shown(data), PIXELS)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def app(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


SEGMENTS = {
    **{
        f"{name!r} of {len(name) + spare} bytes": app(marker, name + bytes(spare))
        for marker, name in (
            (0xE0, b"JFIF\0"),
            (0xE1, b"Exif\0\0"),
            (0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
            (0xE2, b"ICC_PROFILE\0"),
            (0xE2, b"MPF\0"),
            (0xE2, b"FPXR\0"),
            (0xED, b"Photoshop 3.0\0"),
            (0xEE, b"Adobe"),
        )
        for spare in range(6)
    },
    "profile with a part missing": app(0xE2, b"ICC_PROFILE\0\1\2abc"),
    "profile with parts of no number": app(0xE2, b"ICC_PROFILE\0\0\0abc") * 2,
    "several pictures that aren't there": app(0xE2, b"MPF\0II*\0\x08\0\0\0" + bytes([255] * 40)),
    "photoshop's blocks, cut off": app(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\xff\xff"),
    "exif of odd tags": app(0xE1, b"Exif\0\0II*\0\x08\0\0\0\2\0" + bytes([255] * 40)),
    "fill bytes": b"\xff" * 50 + app(0xFE, b"a comment"),
    "a segment of length 0": b"\xff\xfe\0\0",
    "a picture within": app(0xE3, JPEG[:2000]),
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_segments_of_a_jpeg(name: str) -> None:
    right = np.asarray(Image.open(io.BytesIO(JPEG)))
    assert np.array_equal(shown(JPEG[:2] + SEGMENTS[name] + JPEG[2:]), right)


def test_an_adobe_segment_still_says_what_the_channels_are() -> None:
    """Three channels that are red, green and blue as they are, of a writer who says so."""
    data = encoded(RGB, "JPEG", quality=100, keep_rgb=True)
    assert b"Adobe" in data
    right = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(right.astype(int) - PIXELS).mean() < 2
    assert np.array_equal(shown(data), right)


def scans_of(count: int) -> bytes:
    """A progressive JPEG whose last scan comes so often."""
    data = encoded(RGB, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (count - data.count(b"\xff\xda")) + data[-2:]


class TestScans:
    """Each costs as much as all pixels do, and takes a few bytes."""

    def test_as_many_as_pictures_have_are_read(self) -> None:
        assert shown(scans_of(20)).shape == (30, 41, 3)
        assert decode(scans_of(20), ImageLimits(20 << 20, RGB.width * RGB.height)).size == (41, 30)

    @pytest.mark.parametrize(("count", "spare", "limit"), [(101, 1000, 100), (21, 1, 20), (41, 2, 40)])
    def test_more_are_refused_before_anything_is_decoded(
        self, monkeypatch: pytest.MonkeyPatch, count: int, spare: int, limit: int
    ) -> None:
        def load(*_: object) -> None:
            raise AssertionError("decoded")

        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
        told = refusal(scans_of(count), ImageLimits(20 << 20, RGB.width * RGB.height * spare))
        assert f"has {count} scans of 41x30 pixels; the limit is {limit} at this size" in told

    def test_those_of_a_picture_within_do_not_count(self) -> None:
        inner = encoded(picture(8, 8), "JPEG", progressive=True)
        data = encoded(RGB, "JPEG", progressive=True)
        assert shown(data[:2] + app(0xE1, inner) * 30 + data[2:]).shape == (30, 41, 3)

    def test_those_of_a_jpeg_within_a_tiff(self) -> None:
        def within(jpeg: bytes) -> bytes:
            plain = bytearray(tiff(PIXELS, 8, 6))
            entries = struct.unpack_from("<I", plain, 4)[0] + 2
            for tag, number in ((259, 7), (273, len(plain)), (279, len(jpeg))):
                at = next(at for at in range(entries, len(plain), 12) if plain[at : at + 2] == struct.pack("<H", tag))
                plain[at + 2 : at + 12] = struct.pack("<HII", 4, 1, number)
            return bytes(plain) + jpeg

        assert shown(within(scans_of(12))).shape == (30, 41, 3)
        assert "damaged" in refusal(within(scans_of(40)))

    def test_endless_segments(self) -> None:
        assert "more than 10000 segments" in refusal(JPEG[:2] + app(0xFE, b"") * 10_001 + JPEG[2:])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\0\0\0\x20ftypheic" + bytes(30), "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic" + bytes(30), "HEIC"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0hevc" + bytes(30), "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0miaf" + bytes(30), "HEIF"),
        # Behind the box another begins, whose bytes are no brands.
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1avif" + bytes(30), "HEIF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1isom" + bytes(30), "CR3"),
        (encoded(RGB, "ICO"), "ICO"),
        (encoded(RGB, "TGA"), "TGA"),
        (encoded(RGB.convert("L"), "TGA", compression="tga_rle"), "TGA"),
        (encoded(RGB.convert("P"), "TGA"), "TGA"),
        (b"%PDF-1.7", "PDF"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"\xef\xbb\xbf<svg/>", "SVG"),
        (b"\xef\xbb\xbf\n <!-- of a program --> <!-- -->\n<svg/>", "SVG"),
        (b"<!--" + b"-" * 900 + b"--><!DOCTYPE svg PUBLIC>", "SVG"),
        ("<?xml version='1.0'?><svg/>".encode("utf-16"), "SVG"),
        (b"<!-- saved from there --><html>", "HTML"),
        (b"\n<!doctype html><html>", "HTML"),
        (b"\xff\x0a" + bytes(9), "JPEG XL"),
        (b"\0\0\0\x20ftypisom" + bytes(30), "a film"),
        (b"data:image/png;base64,iVBORw0KGgo", "Base64"),
        (b"/9j/4AAQSkZJRg", "Base64"),
        (b"8BPS", "PSD"),
        (b"Dear Sir or Madam,\r\n", "text"),
        # Cut within a character by what is looked at.
        (b"a" + "\u00e4".encode() * 5000, "text"),
    ],
)
def test_another_format_is_named(data: bytes, told: str) -> None:
    assert f"is not an image in one of JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF; it is {told}" in refusal(data)


def test_nothing_is_told_of_bytes_that_begin_like_many_formats() -> None:
    for data in (bytes(5000), b"\0\0\2\0" + bytes(40), b"\0\0\1\0" + bytes(40), b"<" * 5000, b"<!---->" * 700):
        assert "; it is TGA" not in refusal(data)
        assert "; it is ICO" not in refusal(data)


def test_what_is_within_a_container_is_read_by_any_of_its_brands() -> None:
    data = bytearray(encoded(RGB, "AVIF"))
    at = data.index(b"mif1", 12)
    # Its brands the other way round, as some programs write them.
    data[8:12], data[at : at + 4] = b"mif1", b"avif"
    assert np.array_equal(shown(bytes(data)), shown(encoded(RGB, "AVIF")))


def twelve_bit_jpeg() -> bytes:
    data = bytearray(JPEG)
    data[data.index(b"\xff\xc0") + 4] = 12
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (twelve_bit_jpeg(), "is JPEG, but .*12-bit"),
        (raw_png(4, 4, depth=3), "is PNG, but"),
        (raw_png(4, 4, lines=bytes(20))[:20], "is PNG, but"),
        (b"MM\0\x2b\0\x08\0\0" + bytes(40), "BigTIFF .*big-endian"),
    ],
)
def test_the_decoders_own_reason_is_told(data: bytes, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        decode(data, LIMITS)


@pytest.mark.parametrize(
    "error", [OverflowError, MemoryError, RuntimeError, AttributeError, ZeroDivisionError, EOFError]
)
def test_whatever_a_decoder_raises(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def load(*_: object) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    assert f"damaged or truncated ({error.__name__})" in refusal(encoded(RGB, "PNG"))
