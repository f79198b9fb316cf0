"""``decode`` shows a file as a viewer does, whatever its format."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb
from transformers.image_utils import load_image

from services.common.errors import InvalidArgument
from services.encoder.images.decode import ImageLimits, decode
from tests.support.encoder_parts import raw_png
from tests.support.pictures import encoded, picture

LIMITS = ImageLimits(max_bytes=20 << 20, max_pixels=50_000_000)
ORIENTATION = 0x0112


def pixels(data: bytes) -> np.ndarray:
    image = decode(data, LIMITS)
    assert image.mode == "RGB"
    return np.asarray(image)


def hugging_faces(data: bytes) -> np.ndarray:
    """Upright as by ``load_image``, transparency as by the image processors."""
    return convert_to_rgb(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), return_numpy=True)


def see_through(seed: int = 0) -> Image.Image:
    """RGBA with every degree of transparency."""
    image = picture(41, 30, seed).convert("RGBA")
    image.putalpha(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 41), dtype=np.uint8)))
    return image


RGB = picture(41, 30)
PALETTE = RGB.quantize(16)
FILES = {
    "JPEG": encoded(RGB, "JPEG"),
    "JPEG progressive": encoded(RGB, "JPEG", progressive=True),
    "JPEG grey": encoded(RGB.convert("L"), "JPEG"),
    "JPEG CMYK": encoded(RGB.convert("CMYK"), "JPEG"),
    "JPEG of several pictures": encoded(RGB, "MPO", save_all=True, append_images=[picture(41, 30, 1)]),
    "PNG": encoded(RGB, "PNG"),
    "PNG RGBA": encoded(see_through(), "PNG"),
    "PNG LA": encoded(see_through().convert("LA"), "PNG"),
    "PNG grey": encoded(RGB.convert("L"), "PNG"),
    "PNG grey with a transparent grey": encoded(PALETTE.convert("L"), "PNG", transparency=7),
    "PNG with a transparent colour": encoded(RGB, "PNG", transparency=RGB.getpixel((3, 3))),
    "PNG palette": encoded(PALETTE, "PNG"),
    "PNG palette with a transparent index": encoded(PALETTE, "PNG", transparency=3),
    "PNG palette with alpha": encoded(PALETTE, "PNG", transparency=bytes(range(0, 256, 16))),
    "PNG 1 bit": encoded(RGB.convert("1"), "PNG"),
    "WebP": encoded(RGB, "WEBP"),
    "WebP lossless, RGBA": encoded(see_through(), "WEBP", lossless=True, exact=True),
    "WebP of several frames": encoded(RGB, "WEBP", save_all=True, append_images=[picture(41, 30, 1)]),
    "GIF": encoded(PALETTE, "GIF"),
    "GIF transparent": encoded(PALETTE, "GIF", transparency=3),
    "GIF of several frames": encoded(PALETTE, "GIF", save_all=True, append_images=[picture(41, 30, 1).quantize(16)]),
    "BMP": encoded(RGB, "BMP"),
    "BMP palette": encoded(PALETTE, "BMP"),
    "BMP 1 bit": encoded(RGB.convert("1"), "BMP"),
    "TIFF": encoded(RGB, "TIFF"),
    "TIFF LZW": encoded(RGB, "TIFF", compression="tiff_lzw"),
    "TIFF JPEG": encoded(RGB, "TIFF", compression="jpeg"),
    "TIFF fax": encoded(RGB.convert("1"), "TIFF", compression="group4"),
    "TIFF CMYK": encoded(RGB.convert("CMYK"), "TIFF"),
    "TIFF LAB": encoded(Image.merge("LAB", RGB.split()), "TIFF"),
    "TIFF RGBA": encoded(see_through(), "TIFF"),
    "TIFF of several pages": encoded(RGB, "TIFF", save_all=True, append_images=[picture(20, 20, 1)]),
}


@pytest.mark.parametrize("name", FILES)
def test_as_hugging_face_reads_it(name: str) -> None:
    assert np.array_equal(pixels(FILES[name]), hugging_faces(FILES[name]))


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF", "TIFF LZW"])
def test_lossless_formats_give_the_pixels_that_were_saved(name: str) -> None:
    assert np.array_equal(pixels(FILES[name]), np.asarray(RGB))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_the_first_frame_counts(kind: str) -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(red, kind, save_all=True, append_images=[blue, blue], **options)
    assert (pixels(data) == (255, 0, 0)).all()


TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNED)
def test_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(RGB, kind, exif=exif)
    assert np.array_equal(pixels(data), np.asarray(load_image(Image.open(io.BytesIO(data)))))
    if kind in ("PNG", "TIFF"):
        assert np.array_equal(pixels(data), TURNED[orientation](np.asarray(RGB)))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert np.array_equal(pixels(encoded(RGB, "PNG", exif=exif)), np.asarray(RGB))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(mode: str) -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(0, 0, 0, 0), (0, 0, 0, 51), (0, 0, 0, 255)])
    shown = pixels(encoded(image.convert(mode), "PNG"))
    assert shown[0].tolist() == [[255] * 3, [204] * 3, [0] * 3]


def test_transparent_and_turned() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(see_through(), "PNG", exif=exif)
    assert np.array_equal(pixels(data), hugging_faces(data))
    assert pixels(data).shape == (41, 30, 3)


SIXTEEN = np.array([[0, 1, 255, 256, 0x1234], [0x7FFF, 0x8000, 0xFEDC, 0xFF00, 0xFFFF]], np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_grey_shows_the_high_byte(kind: str, order: str) -> None:
    data = encoded(Image.fromarray(SIXTEEN.astype(order)), kind)
    assert np.array_equal(pixels(data), np.repeat((SIXTEEN >> 8)[..., None], 3, axis=2))


def test_16_bit_colour_shows_the_high_byte() -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (4, 5, 3), dtype=np.uint16)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    data = raw_png(5, 4, depth=16, colour=2, lines=lines)
    assert np.array_equal(pixels(data), values >> 8)


def test_1_bit_is_black_and_white() -> None:
    lines = b"".join(b"\0" + bytes([row]) for row in (0b10110000, 0b01000000))
    shown = pixels(raw_png(4, 2, depth=1, lines=lines))
    assert shown[..., 0].tolist() == [[255, 0, 255, 255], [0, 255, 0, 0]]


def test_floating_point_pixels_are_refused() -> None:
    data = encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    with pytest.raises(InvalidArgument, match=r"image\.data: .*floating-point"):
        decode(data, LIMITS)


def test_other_formats_are_refused() -> None:
    for kind in ("PPM", "ICO", "TGA"):
        with pytest.raises(InvalidArgument, match=r"image\.data: .*JPEG, PNG, WEBP, GIF, BMP, TIFF"):
            decode(encoded(RGB, kind), LIMITS)
