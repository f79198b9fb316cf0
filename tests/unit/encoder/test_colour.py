"""A picture with a colour profile looks as in a viewer; one without, or in sRGB, keeps its very bytes."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from services.encoder.images.decode import ImageLimits, decode
from tests.support.encoder_parts import png_chunk
from tests.support.files import cmyk_profile, grey_profile, png, profile, rgb_profile
from tests.support.pictures import encoded, picture

LIMITS = ImageLimits(max_bytes=20 << 20, max_pixels=50_000_000)
RGB = picture(41, 30)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB_PRIMARIES = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
P3_PRIMARIES = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
SPACES = {
    "Adobe RGB": rgb_profile(
        (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457), 2.2
    ),
    "ProPhoto RGB": rgb_profile((0.79767, 0.28804, 0), (0.13519, 0.71188, 0), (0.03134, 0.00009, 0.82491), 1.8),
    "Display P3": rgb_profile(*P3_PRIMARIES, 2.2),
    "linear": rgb_profile(*SRGB_PRIMARIES, 1.0),
}
WIDE = SPACES["ProPhoto RGB"]


def shown(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, LIMITS)).astype(int)


def off(data: bytes, right: Any) -> float:
    """Levels, on the average."""
    return float(np.abs(shown(data) - np.asarray(right).astype(int)).mean())


def stored_in(icc: bytes, image: Image.Image = RGB) -> Image.Image:
    """The values that stand for ``image``'s colours in another space."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    moved = ImageCms.profileToProfile(image, SRGB, target, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC)
    assert moved is not None
    del moved.info["icc_profile"]
    return moved


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
@pytest.mark.parametrize("space", SPACES)
def test_wide_spaces(space: str, kind: str) -> None:
    icc = SPACES[space]
    options: dict[str, Any] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 100, "subsampling": 0},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }.get(kind, {})
    data = encoded(stored_in(icc), kind, icc_profile=icc, **options)
    assert off(data, RGB) < (1 if kind not in ("JPEG", "AVIF") else 2.5)
    assert off(encoded(stored_in(icc), kind, **options), RGB) > 3


def test_of_16_bits() -> None:
    """The table of the transform is of 8 bits, as screens are."""
    values = np.asarray(stored_in(WIDE)).astype(np.uint16) * 257
    chunk = icc_chunk(WIDE)
    assert off(png(values, 16, 2, chunk), RGB) < 1


def icc_chunk(icc: bytes) -> bytes:
    plain = encoded(Image.new("RGB", (1, 1)), "PNG", icc_profile=icc)
    at = plain.index(b"iCCP") - 4
    return plain[at : at + 12 + int.from_bytes(plain[at : at + 4], "big")]


def test_of_transparent_pictures() -> None:
    """The profile is about colours, not about transparency, nor about the white below."""
    image = stored_in(WIDE).convert("RGBA")
    image.putalpha(Image.fromarray(np.where(np.arange(41 * 30).reshape(30, 41) % 2, 255, 0).astype(np.uint8)))
    right = np.asarray(RGB).copy()
    right.reshape(-1, 3)[::2] = 255
    assert off(encoded(image, "PNG", icc_profile=WIDE), right) < 1


def test_of_palettes() -> None:
    palette = RGB.quantize(16)
    colours = Image.frombytes("RGB", (16, 1), bytes(palette.getpalette("RGB")[:48]))
    stored = palette.copy()
    stored.putpalette(stored_in(WIDE, colours).tobytes())
    assert off(encoded(stored, "PNG", icc_profile=WIDE), palette.convert("RGB")) < 1


@pytest.mark.parametrize("mode", ["L", "LA", "16 bits"])
def test_of_grey(mode: str) -> None:
    """Of gamma 1: half the light is much lighter than half the scale."""
    icc = grey_profile(1.0)
    grey = np.arange(256, dtype=np.uint8)[None]
    if mode == "16 bits":
        data = png(grey.astype(np.uint16) * 256, 16, 0, icc_chunk(icc))
    else:
        data = encoded(Image.fromarray(grey).convert(mode), "PNG", icc_profile=icc)
    light = grey[0] / 255
    right = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(shown(data)[0] - right[:, None]).max() < 2


def test_of_cmyk() -> None:
    icc = cmyk_profile()
    image = RGB.convert("CMYK")
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    right = ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
    assert off(encoded(image, "TIFF", icc_profile=icc), right) == 0
    assert off(encoded(image, "TIFF"), right) > 5
    jpeg = encoded(image, "JPEG", quality=100, subsampling=0, icc_profile=icc)
    assert off(jpeg, right) < 2


SRGBS = {
    "littlecms's own": SRGB.tobytes(),
    "none": b"",
    "broken": b"\0" * 200,
    "cut off": WIDE[:150],
    "of another space": grey_profile(1.0),
    "of a press": cmyk_profile(),
    "between devices": profile(b"RGB ", {}, kind=b"link"),
    "too large": WIDE + bytes(9_000_000),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("name", SRGBS)
def test_nothing_is_changed_without_need(name: str, kind: str) -> None:
    """Bit for bit: what parity with Hugging Face is about."""
    options = {"lossless": True} if kind == "WEBP" else {}
    if name == "too large" and kind == "JPEG":
        pytest.skip("Pillow writes none of that size")
    plain = encoded(RGB, kind, **options)
    assert (
        off(encoded(RGB, kind, icc_profile=SRGBS[name], **options), Image.open(io.BytesIO(plain)).convert("RGB")) == 0
    )


def test_a_profile_of_colours_is_none_for_a_grey_png() -> None:
    """As libpng has it; of a grey JPEG it is one, as browsers have it."""
    grey = RGB.convert("L")
    assert off(encoded(grey, "PNG", icc_profile=WIDE), grey.convert("RGB")) == 0
    assert off(encoded(grey, "JPEG", icc_profile=WIDE), grey.convert("RGB")) > 3


class TestNumbersInPlaceOfAProfile:
    """PNG's gAMA and cHRM."""

    @staticmethod
    def gamma(value: float) -> bytes:
        return png_chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))

    @staticmethod
    def primaries(*xy: float) -> bytes:
        return png_chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in xy)))

    SRGB_XY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
    ADOBE_XY = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    PROPHOTO_XY = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)

    def test_of_linear_light(self) -> None:
        stored = np.asarray(stored_in(SPACES["linear"]))
        assert off(png(stored, 8, 2, self.gamma(1)), RGB) < 1
        assert off(png(stored, 8, 2, self.gamma(1), self.primaries(*self.SRGB_XY)), RGB) < 1
        assert off(png(stored, 8, 2, self.gamma(1), png_chunk(b"sRGB", b"\0")), stored) == 0

    @pytest.mark.parametrize(
        ("space", "gamma", "xy"), [("Adobe RGB", 2.2, ADOBE_XY), ("ProPhoto RGB", 1.8, PROPHOTO_XY)]
    )
    def test_of_wide_spaces(self, space: str, gamma: float, xy: tuple[float, ...]) -> None:
        stored = np.asarray(stored_in(SPACES[space]))
        assert off(png(stored, 8, 2, self.gamma(1 / gamma), self.primaries(*xy)), RGB) < 1
        # A profile goes before them.
        assert off(png(stored, 8, 2, self.gamma(1), self.primaries(*xy), icc_chunk(SPACES[space])), RGB) < 1

    def test_of_grey(self) -> None:
        grey = np.arange(256, dtype=np.uint8)[None]
        right = shown(png(grey, 8, 0, icc_chunk(grey_profile(1.0))))
        assert off(png(grey, 8, 0, self.gamma(1), self.primaries(*self.ADOBE_XY)), right) == 0

    @pytest.mark.parametrize("gamma", [1 / 2.2, 0.45, 0, 0.001, 20_000])
    def test_what_says_srgb_or_nonsense_changes_nothing(self, gamma: float) -> None:
        plain = np.asarray(RGB)
        for more in (b"", self.primaries(*self.SRGB_XY)):
            assert off(png(plain, 8, 2, self.gamma(gamma), more), RGB) == 0
        assert off(png(plain, 8, 2, self.primaries(*self.ADOBE_XY)), RGB) == 0

    @pytest.mark.parametrize("xy", [(0,) * 8, (0.3,) * 8, (1,) * 8, (0.3127, 0.329) * 4, (40_000,) * 8])
    def test_primaries_that_can_not_be(self, xy: tuple[float, ...]) -> None:
        assert off(png(np.asarray(RGB), 8, 2, self.gamma(1), self.primaries(*xy)), RGB) == 0
