"""The oracle: what a perfect tower would say, as sums of the language model's own word embeddings.

A language model that answers from these has learnt to read a scene; a projector that maps a tower's features to them
has learnt to see for it. Neither needs the other, and pictures of the world are not needed for the first.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from models.world.labels import PatchLabels
from models.world.page import KEYS, Page
from models.world.scene import CHARACTERS, COLORS, SHAPES, Scene

# Word of the i-th colour (1..), shape, character, label, or character of a code; index 0 says nothing. Ground and
# centres have words too.
_WORDS = {
    "color": COLORS,
    "shape": SHAPES,
    "character": CHARACTERS,
    "key": KEYS,
    "first": CHARACTERS,
    "second": CHARACTERS,
}
FIELDS = (*_WORDS, "center")
# A code is a word's beginning and what follows without a space, in questions and so here: no two roles are one token.
_FOLLOWS = "second"
_GROUND, _CENTER = " ground", " here"


class SymbolTable(torch.nn.Module):
    """Token ids of the words; the embeddings stay the language model's."""

    tags: torch.Tensor

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        for field, words in _WORDS.items():
            space = "" if field == _FOLLOWS else " "
            self.register_buffer(field, torch.tensor([0, *(_single(tokenizer, space + word) for word in words)]))
        self.register_buffer("tags", torch.tensor([_single(tokenizer, word) for word in (_GROUND, _CENTER)]))

    def forward(self, symbols: torch.Tensor, embedding: torch.nn.Embedding) -> torch.Tensor:
        """int64 [..., 7] of ``FIELDS`` (0: none) to embeddings [..., D]."""
        total = torch.zeros((), device=symbols.device)
        for index, field in enumerate(_WORDS):
            value = symbols[..., index]
            word: torch.Tensor = embedding(getattr(self, field)[value])
            total = total + word * (value > 0)[..., None]
        tags: torch.Tensor = embedding(self.tags)
        ground = (symbols[..., :-1] == 0).all(-1)
        total = total + tags[0] * ground[..., None]
        return total + tags[1] * (symbols[..., -1] > 0)[..., None]


def patch_symbols(labels: PatchLabels) -> NDArray[np.int64]:
    """int64 [T, N, 7]; what a patch leaves unsure it does not say."""
    grids = np.stack([getattr(labels, field) for field in FIELDS], axis=-1)
    # A line tells its code's characters by their places.
    grids[labels.key > 0, FIELDS.index("character")] = 0
    said: NDArray[np.int64] = np.maximum(grids, 0)
    return said


def list_symbols(scene: Scene | Page, rng: np.random.Generator) -> NDArray[np.int64]:
    """A scene or page as a list [n, 7] in place of a picture: each part as a thumbnail shows it, then up close."""
    codes = _page_codes(scene) if isinstance(scene, Page) else _scene_codes(scene)
    codes = [codes[at] for at in rng.permutation(len(codes))]
    overview = [[*code[:2], 0, 0, 0, 0, 1] for code in codes]
    close = [[*code, 0] for code in codes for _ in range(rng.integers(1, 4))]
    ground = [[0] * len(FIELDS)] * int(rng.integers(0, 8))
    return np.array([*overview, *(rng.permutation(np.array(close + ground)))], np.int64)


def _scene_codes(scene: Scene) -> list[list[int]]:
    return [
        [COLORS.index(each.color) + 1, SHAPES.index(each.shape) + 1, CHARACTERS.index(each.character) + 1, 0, 0, 0]
        for each in scene.things
    ]


def _page_codes(page: Page) -> list[list[int]]:
    return [
        [0, 0, 0, KEYS.index(line.key) + 1, *(CHARACTERS.index(letter) + 1 for letter in line.code)]
        for line in page.lines
    ]


def _single(tokenizer: PreTrainedTokenizerFast, word: str) -> int:
    ids = tokenizer(word, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise ValueError(f"{word!r} is no single token of the vocabulary")
    return int(ids[0])
