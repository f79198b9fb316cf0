"""What no question changes is read first, and nothing is read twice or left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from services.common.budget import Retention
from services.common.settings import SettingError
from services.families.family import NEWLINE
from services.families.llava_next.splice import splice
from services.llm import parts
from services.llm.encoded import EncodedImage
from services.llm.job import ChatJob, ImagePart, Turn
from services.llm.layout import base_first, raster
from services.llm.settings import LlmSettings
from tests.support.llm_parts import SIZES, InProcessEncoder, Seen, collect, picture, png

NEWLINES = ["every_row", "kept_rows"]


def image(seen: Seen, keep: np.ndarray, base: np.ndarray) -> EncodedImage:
    encoded = seen.encoded(keep)
    encoded.base[:] = [np.flatnonzero(each) for each in base]
    return encoded


def reading(image: EncodedImage, newlines: Any) -> list[tuple[int, int] | None]:
    """What is read, each token by its tile and position, None for a newline."""
    tokens = [(tile, int(p)) for tile, kept in enumerate(image.kept) for p in kept]
    source = base_first(splice, image.grid, image.kept, image.base, newlines).source
    return [None if s == NEWLINE else tokens[s] for s in source]


@pytest.mark.parametrize("newlines", NEWLINES)
@pytest.mark.parametrize("size", SIZES)
def test_two_questions_begin_alike(look, size, newlines):
    seen = look(size)
    base = seen.keep_some(0, 0.2)
    keeps = [base | (seen.keep_some(seed, 0.2) & (np.arange(len(base)) > 0)[:, None]) for seed in (1, 2)]
    one, other = (reading(image(seen, keep, base), newlines) for keep in keeps)
    alone = reading(image(seen, base, base), newlines)
    assert one[: len(alone)] == other[: len(alone)] == alone
    for keep, read in zip(keeps, (one, other), strict=True):
        tokens = [token for token in read if token is not None]
        assert sorted(tokens) == sorted((int(t), int(p)) for t, p in np.argwhere(keep))


@pytest.mark.parametrize("newlines", NEWLINES)
@pytest.mark.parametrize("size", SIZES)
def test_where_all_is_base_it_is_the_pictures_order(look, size, newlines):
    seen = look(size)
    keep = seen.keep_some(3)
    whole = image(seen, keep, keep)
    ours, usual = (each(splice, whole.grid, whole.kept, whole.base, newlines) for each in (base_first, raster))
    assert np.array_equal(ours.source, usual.source)
    assert (len(ours), ours.newlines, ours.full_length) == (len(usual), usual.newlines, usual.full_length)


def test_each_part_has_newlines_of_its_own(look):
    seen = look((224, 224))
    base, keep = np.zeros_like(seen.keep_all()), np.zeros_like(seen.keep_all())
    base[0, 5] = base[1, 8 * 2 + 5] = base[4, 8 * 7] = True
    keep[1, 8 * 2 + 3] = keep[2, 1] = True
    assert reading(image(seen, keep | base, base), "kept_rows") == [
        *[(0, 5), (1, 21), None, (4, 56), None],
        *[(2, 1), None, (1, 19), None],
    ]


@pytest.fixture(scope="module")
def asking(untrained) -> InProcessEncoder:
    """One that looks at the question, and tells what it does not change."""
    return InProcessEncoder(untrained, relevance_model=f"{untrained}/clip", with_base=True)


async def test_prompts_of_two_questions_share_half_of_an_image_and_at_1_are_as_ever(
    untrained, asking, prompts, splicer, engine, monkeypatch
):
    given = []
    generate = engine.generate
    monkeypatch.setattr(engine, "generate", lambda prompt, *more: given.append(prompt) or generate(prompt, *more))
    data = png(picture(333, 222))

    async def read(question: str, retention: float, **settings: Any) -> torch.Tensor:
        chat = parts.open_chat(LlmSettings(model=untrained, **settings), asking, prompts, splicer, engine)
        await collect(chat.generate(ChatJob((Turn("user", (ImagePart(data=data), question)),), Retention(retention))))
        return given[-1].images[0].embeddings

    one, other = [await read(each, 0.4, layout="base_first") for each in ("a red star?", "what is written below?")]
    shorter = min(len(one), len(other))
    alike = int((one[:shorter] == other[:shorter]).all(dim=1).int().cumprod(0).sum())
    assert len(one) // 2 <= alike < shorter
    whole = [await read("a red star?", 1.0, layout=layout) for layout in ("base_first", "raster")]
    assert torch.equal(*whole)


def test_original_positions_have_no_such_order(untrained, encoder, prompts, splicer, engine):
    settings = LlmSettings(model=untrained, layout="base_first", position_ids="original")
    with pytest.raises(SettingError, match=r"^HEROSERVE_LAYOUT='base_first': .*HEROSERVE_POSITION_IDS='original'"):
        parts.open_chat(settings, encoder, prompts, splicer, engine)
