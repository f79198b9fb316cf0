"""At R = 1 both services' parts make what Hugging Face's InternVL makes: pixels, embeddings, greedy tokens."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from models.untrained_internvl import LIKE
from services.common.budget import MaxVisualTokens
from tests.support.pictures import picture

QUESTION = "what number is on the sign?"
# One tile, all kinds of grids up to twelve tiles, smaller than a tile, as thin as a line; ties between grids.
SIZES = [
    (112, 112),
    (1, 1),
    (3, 3),
    (50, 40),
    (224, 224),
    (225, 223),
    (640, 480),
    (333, 101),
    (97, 401),
    (1000, 90),
    (3, 500),
    (1, 1000),
    (601, 977),
    (448, 336),
]
# Towers with and without qk-norm, norms of both kinds, and their output as it is and normed.
TOWERS: dict[str, dict[str, Any]] = {
    "1b": {},
    "38b": {},
    "1b with qk-norm": {"use_qk_norm": True},
    "38b without": {"use_qk_norm": False},
    "1b normed": {"use_mean_pooling": False},
    "1b without positions": {"use_absolute_position_embeddings": False},
}


def inputs_of(model: Any, *sizes: tuple[int, int]) -> Any:
    return model.hf.inputs([("user", [*(picture(*size) for size in sizes), QUESTION])])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels_are_the_processors_to_the_last_bit(model: Any, size: tuple[int, int]) -> None:
    ours, image = model("1b"), picture(*size)
    expected = inputs_of(ours, size).pixel_values
    grid = ours.tiler.grid(*size)
    tiles = ours.tiler.cut(image, grid)
    assert len(tiles) == len(grid.valid()) <= ours.tiler.max_tiles
    pixels = ours.tower._normalise(torch.from_numpy(tiles))
    # There the thumbnail comes last; of one tile there is none, and the tile is ours.
    assert torch.equal(pixels.roll(-1, 0), expected)


@pytest.mark.parametrize("like", LIKE)
@pytest.mark.parametrize("size", SIZES[:8], ids=str)
async def test_the_answer_is_hugging_faces(model: Any, like: str, size: tuple[int, int]) -> None:
    ours = model(like)
    turns = [("user", [picture(*size), QUESTION])]
    text, bill, prompt = await ours.ask(ours.job(turns))
    inputs = ours.hf.inputs(turns)
    assert prompt.token_ids.tolist() == inputs.input_ids[0].tolist()
    torch.testing.assert_close(ours.language.embed(prompt), ours.hf.embeddings(inputs), rtol=0, atol=1e-5)
    expected, tokens = ours.hf.answer(turns, 12)
    assert (text, bill.usage.completion_tokens) == (expected, tokens)
    assert bill.savings.dropped == bill.usage.prompt_newline_tokens == 0
    assert bill.usage.prompt_text_tokens + bill.usage.prompt_visual_tokens == inputs.input_ids.shape[1]


@pytest.mark.parametrize("size", SIZES[8:], ids=str)
async def test_any_size(model: Any, size: tuple[int, int]) -> None:
    await _is_hugging_faces(model("1b"), size)


@pytest.mark.parametrize("name", TOWERS)
async def test_towers(model: Any, name: str) -> None:
    await _is_hugging_faces(model(name.partition(" ")[0], **TOWERS[name]), (300, 200))


async def _is_hugging_faces(ours: Any, size: tuple[int, int]) -> None:
    """What is read of a picture of this size, and answered."""
    turns = [("user", [picture(*size), QUESTION])]
    text, _, prompt = await ours.ask(ours.job(turns))
    torch.testing.assert_close(
        ours.language.embed(prompt), ours.hf.embeddings(ours.hf.inputs(turns)), rtol=0, atol=1e-5
    )
    assert text == ours.hf.answer(turns, 12)[0]


@pytest.mark.parametrize("like", LIKE)
async def test_images_and_turns(model: Any, like: str) -> None:
    """Texts between images, an answer, a turn of a system's, and a turn without an image."""
    ours = model(like)
    turns = [
        ("system", ["say what is there"]),
        ("user", ["a sign", picture(333, 101), "and a page", picture(50, 40), picture(97, 401), QUESTION]),
        ("assistant", ["seven\n"]),
        ("user", [picture(112, 112), "is it red?"]),
        ("assistant", ["yes"]),
        ("user", ["how many stars?"]),
    ]
    for length in (2, 4, 6):
        text, _, prompt = await ours.ask(ours.job(turns[:length]))
        inputs = ours.hf.inputs(turns[:length])
        assert prompt.token_ids.tolist() == inputs.input_ids[0].tolist()
        torch.testing.assert_close(ours.language.embed(prompt), ours.hf.embeddings(inputs), rtol=0, atol=1e-5)
        assert text == ours.hf.answer(turns[:length], 12)[0]


async def test_tiles_of_448_pixels(model: Any) -> None:
    """The published geometry: 256 tokens a tile, of 1024 patches."""
    ours = model("1b", tile=448)
    turns = [("user", [picture(500, 300), QUESTION])]
    text, bill, prompt = await ours.ask(ours.job(turns, max_tokens=4))
    inputs = ours.hf.inputs(turns)
    assert bill.usage.prompt_visual_tokens == 256 * len(inputs.pixel_values)
    torch.testing.assert_close(ours.language.embed(prompt), ours.hf.embeddings(inputs), rtol=0, atol=1e-5)
    assert text == ours.hf.answer(turns, 4)[0]


@pytest.mark.parametrize("layout", ["raster", "base_first"])
async def test_what_is_kept_stands_where_it_stood(model: Any, layout: str) -> None:
    """Fewer tokens, each as Hugging Face has it, at its own place of the sequence that nothing was dropped from."""
    ours = model("38b")
    turns = [("user", [picture(333, 101), QUESTION])]
    _, bill, prompt = await ours.ask(ours.job(turns, MaxVisualTokens(21)), layout=layout)
    assert bill.usage.prompt_visual_tokens == 21
    full = ours.hf.embeddings(ours.hf.inputs(turns))
    (image,) = prompt.images
    kept = ours.language.embed(prompt)[image.start : image.end]
    distance = torch.cdist(kept, full, compute_mode="donot_use_mm_for_euclid_dist")
    places = distance.argmin(dim=1)
    assert distance.amin(dim=1).max() < 1e-4
    assert len(set(places.tolist())) == 21
    if layout == "raster":
        assert places.tolist() == sorted(places.tolist())


async def test_original_positions(model: Any) -> None:
    ours = model("1b")
    turns = [("user", [picture(333, 101), QUESTION])]
    _, _, prompt = await ours.ask(ours.job(turns, MaxVisualTokens(21)), position_ids="original")
    full = ours.hf.embeddings(ours.hf.inputs(turns))
    torch.testing.assert_close(ours.language.embed(prompt), full[prompt.position_ids], rtol=0, atol=1e-5)
    assert prompt.next_position == len(full)


@pytest.mark.parametrize("like", LIKE)
def test_rounding_changes_no_answer(model: Any, like: str) -> None:
    """Greedy tokens are compared: the next best must be far further off than float32 is."""
    hf = model(like).hf
    inputs = inputs_of(model(like), (333, 101))
    options = {"max_new_tokens": 12, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    rounded = hf.model.generate(**inputs, **options)
    doubled = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    exact = copy.deepcopy(hf.model).double().generate(**doubled, **options)
    assert rounded.sequences.tolist() == exact.sequences.tolist()
    logits = torch.cat(exact.logits)
    best, second = logits.topk(2).values.T
    assert (torch.cat(rounded.logits) - logits).abs().max() < 5e-5
    assert (best - second).min() > 1e-3


def test_pictures_differ(model: Any) -> None:
    """Or parity would tell little."""
    hf = model("1b").hf
    assert len({hf.answer([("user", [picture(*size), QUESTION])], 8)[0] for size in SIZES}) > len(SIZES) / 2
    assert np.ptp([len(inputs_of(model("1b"), size).pixel_values) for size in SIZES]) >= 11
