"""Every kind of pixel is shown as in a viewer: depths, directions of grey, transparency; or refused for what it is."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from services.common.errors import InvalidArgument
from services.encoder.images.decode import ImageLimits, decode
from tests.support.encoder_parts import png_chunk
from tests.support.files import png, tiff
from tests.support.pictures import encoded, picture

LIMITS = ImageLimits(max_bytes=20 << 20, max_pixels=50_000_000)
RGB = picture(41, 30)
RANDOM = np.random.default_rng(0)


def shown(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, LIMITS))


def samples(bits: int, *shape: int) -> np.ndarray:
    return RANDOM.integers(0, 1 << bits, shape, dtype=np.uint64).astype(np.uint16 if bits > 8 else np.uint8)


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[..., None], 3, axis=-1)


def key(*values: int) -> bytes:
    return png_chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


class TestTransparentColours:
    """PNG's tRNS, compared at the depth of the file."""

    @pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
    def test_of_grey(self, bits: int) -> None:
        values = samples(bits, 9, 37)
        values[0, :3] = [0, 1, (1 << bits) - 1]
        for hidden in {0, 1, (1 << bits) // 2, (1 << bits) - 1, int(values[4, 4])}:
            levels = values >> (bits - 8) if bits > 8 else values * (255 // ((1 << bits) - 1))
            right = np.where(values == hidden, 255, levels)
            assert np.array_equal(shown(png(values, bits, 0, key(hidden))), grey(right)), hidden

    @pytest.mark.parametrize("bits", [8, 16])
    def test_of_colours(self, bits: int) -> None:
        values = samples(bits, 9, 37, 3)
        values[0, 0] = values[3, 3]
        right = (values >> (bits - 8)).astype(np.uint8)
        right[[0, 3], [0, 3]] = 255
        assert np.array_equal(shown(png(values, bits, 2, key(*values[3, 3].tolist()))), right)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_of_16_bits_the_low_byte_counts(self, channels: int) -> None:
        values = np.zeros((1, 3, channels), np.uint16)
        values[0, :, -1] = [0x1234, 0x1235, 0x1334]
        data = png(values, 16, 0 if channels == 1 else 2, key(*values[0, 0].tolist()))
        assert shown(data)[0, :, -1].tolist() == [255, 0x12, 0x13]

    def test_bits_beyond_the_depth_do_not_count(self) -> None:
        values = np.array([[0, 1, 2, 3]], np.uint8)
        assert shown(png(values, 2, 0, key(0xFF02)))[0, :, 0].tolist() == [0, 85, 255, 255]

    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    def test_of_palettes(self, bits: int) -> None:
        values = samples(bits, 9, 37)
        colours = samples(8, 1 << bits, 3)
        alphas = np.array([0, 255, *samples(8, (1 << bits) - 2)], np.uint8)
        table = png_chunk(b"PLTE", colours.tobytes()) + png_chunk(b"tRNS", alphas.tobytes())
        share = alphas[:, None] / 255
        right = (colours * share + 255 * (1 - share))[values]
        assert np.abs(shown(png(values, bits, 3, table)) - right).max() <= 1

    def test_more_alphas_than_there_can_be(self) -> None:
        values = samples(4, 5, 5)
        table = png_chunk(b"PLTE", samples(8, 16, 3).tobytes())
        assert shown(png(values, 4, 3, table, png_chunk(b"tRNS", bytes(300)))).min() == 255

    @pytest.mark.parametrize("colour", [4, 6])
    @pytest.mark.parametrize("bits", [8, 16])
    def test_of_alpha_channels(self, bits: int, colour: int) -> None:
        values = samples(bits, 9, 37, 2 if colour == 4 else 4)
        levels, alpha = (values >> (bits - 8))[..., :-1], (values >> (bits - 8))[..., -1:] / 255
        right = levels * alpha + 255 * (1 - alpha)
        assert np.abs(shown(png(values, bits, colour)) - right).max() <= 1

    def test_of_a_turned_picture(self) -> None:
        values = samples(4, 5, 9)
        exif = png_chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0")
        right = grey(np.where(values == 7, 255, values * 17))
        assert np.array_equal(shown(png(values, 4, 0, key(7), exif)), np.rot90(right, -1))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize("white_is_zero", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("width", [36, 37])
def test_grey_tiffs(bits: int, white_is_zero: bool, order: str, deflate: bool, width: int) -> None:
    values = samples(bits, 9, width)
    values[0, :2] = [0, (1 << bits) - 1]
    levels = values >> (bits - 8) if bits > 8 else values * (255 // ((1 << bits) - 1))
    data = tiff(values, bits, 0 if white_is_zero else 1, order=order, deflate=deflate)
    assert np.array_equal(shown(data), grey(255 - levels if white_is_zero else levels))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_tiffs(bits: int, planar: int, order: str, deflate: bool, channels: int) -> None:
    values = samples(bits, 9, 37, channels)
    options = {"extra": 2} if channels == 4 else {}
    data = tiff(values, bits, 2, order=order, deflate=deflate, planar=planar, **options)
    levels = (values >> (bits - 8)).astype(int)
    alpha = levels[..., 3:] / 255 if channels == 4 else 1
    assert np.abs(shown(data) - (levels[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1


@pytest.mark.parametrize("extra", [1, 2])
def test_grey_tiffs_with_alpha(extra: int) -> None:
    """Of 1, what is seen is multiplied already."""
    values = samples(8, 9, 37, 2)
    values[..., 0] = np.minimum(values[..., 0], values[..., 1])
    level, alpha = values[..., 0].astype(float), values[..., 1] / 255
    right = (level if extra == 1 else level * alpha) + 255 * (1 - alpha)
    assert np.abs(shown(tiff(values, 8, 1, extra=extra)) - grey(right)).max() <= 2


@pytest.mark.parametrize(
    ("dtype", "bits", "kind", "told"),
    [
        ("float16", 16, 3, "floating-point pixels; at most 16-bit integers are read"),
        ("float32", 32, 3, "floating-point pixels; at most 16-bit integers are read"),
        ("float64", 64, 3, "floating-point pixels; at most 16-bit integers are read"),
        ("complex64", 64, 6, "floating-point pixels"),
        ("uint32", 32, 1, "32-bit pixels; at most 16-bit integers are read"),
        ("int32", 32, 2, "32-bit pixels; at most 16-bit integers are read"),
        ("uint64", 64, 1, "64-bit pixels; at most 16-bit integers are read"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiffs_that_viewers_do_not_agree_on(
    dtype: str, bits: int, kind: int, told: str, channels: int, order: str
) -> None:
    data = tiff(np.ones((4, 4, channels), dtype), bits, 1 if channels == 1 else 2, order=order, format=kind)
    with pytest.raises(InvalidArgument, match=rf"^image\.data: has {told}"):
        decode(data, LIMITS)


def test_a_tiff_of_another_kind_is_told_by_its_pixels() -> None:
    data = tiff(samples(12, 4, 4, 3), 12, 2)
    with pytest.raises(InvalidArgument, match=r"is TIFF, but .* its pixels are 3 x 12 bits, photometric interpret"):
        decode(data, LIMITS)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_avif(mode: str) -> None:
    data = encoded(RGB.convert(mode), "AVIF", quality=100, subsampling="4:4:4")
    assert np.abs(shown(data).astype(int) - np.asarray(RGB.convert(mode).convert("RGB"))).max() < 6
    film = encoded(RGB, "AVIF", quality=100, subsampling="4:4:4", save_all=True, append_images=[picture(41, 30, 1)])
    assert np.abs(shown(film).astype(int) - np.asarray(RGB)).max() < 6
