"""At R = 1 the services answer what Hugging Face's LLaVA-NeXT answers, token for token."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

import heroserve
from heroserve.v1.encoder_pb2 import VisualTokens
from tests.reference import Reference
from tests.support.pictures import encoded, picture

QUESTION = "What number is on the sign?"
SIZES = [
    (640, 480),
    (101, 77),
    (37, 220),
    (660, 110),
    (50, 40),
    (112, 112),
    (113, 339),
    (336, 336),
    (1, 1),
    (222, 111),
    (1023, 767),
    (601, 977),
]


def rows(tokens: VisualTokens) -> np.ndarray:
    return np.frombuffer(tokens.features.data, "<f4").reshape(tokens.features.rows, tokens.features.cols)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_greedy_answer_equals_hugging_face(client: heroserve.Client, reference: Reference, size: tuple[int, int]):
    image = picture(*size)
    expected, tokens = reference.answer(image, QUESTION, 16)
    answer = client.ask(encoded(image), QUESTION, retention=1.0, max_tokens=16)
    assert answer.text == expected
    assert answer.usage.completion_tokens == tokens
    assert answer.savings.dropped == 0
    prompt = reference.inputs(image, QUESTION).input_ids.shape[1]
    usage = answer.usage
    assert usage.prompt_text_tokens + usage.prompt_visual_tokens + usage.prompt_newline_tokens == prompt


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_turned_photograph_is_read_upright(client: heroserve.Client, reference: Reference, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(300, 200), "JPEG", quality=95, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected, _ = reference.answer(upright.convert("RGB"), QUESTION, 12)
    assert client.ask(data, QUESTION, retention=1.0, max_tokens=12).text == expected


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "L", "1"])
def test_every_mode_is_read_as_the_processor_reads_it(client: heroserve.Client, reference: Reference, mode: str):
    image = picture(240, 180)
    image = image.convert(mode)
    if mode == "RGBA":
        image.putalpha(picture(240, 180, seed=5).convert("L"))
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    expected, _ = reference.answer(Image.open(io.BytesIO(data)), QUESTION, 12)
    assert client.ask(data, QUESTION, retention=1.0, max_tokens=12).text == expected


def test_sixteen_bit_grey_is_read_by_its_high_byte(client: heroserve.Client, reference: Reference):
    """Pillow would clip it at 255, nearly all of it to white."""
    grey = np.asarray(picture(240, 180).convert("L"))
    data = encoded(Image.fromarray(grey.astype(np.uint16) * 256 + 17))
    expected, _ = reference.answer(Image.fromarray(grey).convert("RGB"), QUESTION, 12)
    assert client.ask(data, QUESTION, retention=1.0, max_tokens=12).text == expected


def test_features_on_the_wire_equal_the_tower(client: heroserve.Client, reference: Reference):
    image = picture(500, 333)
    features = reference.tile_features(image).numpy()
    for retention in (1.0, 0.3):
        tokens = client.encode(encoded(image), QUESTION, retention=retention)
        expected = np.concatenate([features[tile.index, list(tile.positions)] for tile in tokens.tiles])
        np.testing.assert_allclose(rows(tokens), expected, atol=1e-5)
        assert all(list(tile.positions) == sorted(tile.positions) for tile in tokens.tiles)
        assert tokens.savings.kept == sum(len(tile.positions) for tile in tokens.tiles) == tokens.features.rows


def test_fewer_tokens_change_the_bill(client: heroserve.Client):
    data = encoded(picture(900, 700))
    full = client.ask(data, QUESTION, retention=1.0, max_tokens=2)
    fifth = client.ask(data, QUESTION, retention=0.2, max_tokens=2)
    exact = client.ask(data, QUESTION, max_visual_tokens=50, max_tokens=2)
    assert full.savings.total == fifth.savings.total == full.savings.kept
    assert abs(fifth.savings.kept - 0.2 * full.savings.total) < 2
    assert exact.savings.kept == exact.usage.prompt_visual_tokens == 50
