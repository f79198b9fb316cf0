"""Every text the world says, for the tokenizer to learn its words from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from transformers import PreTrainedTokenizerFast

from models.tokenizer import build_tokenizer
from models.world.captions import describe
from models.world.page import KEYS, sample_page
from models.world.page_questions import PAGE_KINDS, ask_page
from models.world.questions import KINDS, ask
from models.world.scene import COLORS, SHAPES, sample_scene
from models.world.tiles import TILER

from .sizes import SPECIALS


def build_vocabulary(
    suffix: str, specials: Sequence[str] = SPECIALS, named: Mapping[str, str] | None = None
) -> PreTrainedTokenizerFast:
    """The language model's tokenizer (suffix "") or CLIP's (" </s>"): the same words, and with the same control tokens
    the same ids."""
    return build_tokenizer(_corpus(), suffix, specials, 640, named=named or None)


def _corpus() -> list[str]:
    """Questions, answers and captions of some training scenes, and the words themselves."""
    rng = np.random.default_rng(0)
    words = (*COLORS, *SHAPES, *KEYS)
    texts = [*words, "yes", "no", "a line", "empty paper with lines", *(f" {word}" for word in words)] * 20
    for index in range(400):
        scene = sample_scene("train", index)
        grid = TILER.grid(scene.width, scene.height)
        questions = [ask(kind, scene, grid, rng) for kind in KINDS]
        texts += [question.text for question in questions if question]
        texts.append(describe(list(scene.things), rng, legible=True).text)
    for index in range(200):
        page = sample_page("train", index)
        texts += [ask_page(kind, page, rng).text for kind in PAGE_KINDS]
    return texts
