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
from models.world.scene import CHARACTERS, COLORS, SHAPES, Scene

# Word of the i-th colour (1..), shape or character; index 0 says nothing. Ground and centres have words too.
_WORDS = {"color": COLORS, "shape": SHAPES, "character": CHARACTERS}
FIELDS = (*_WORDS, "center")
_GROUND, _CENTER = "ground", "here"


class SymbolTable(torch.nn.Module):
    """Token ids of the words; the embeddings stay the language model's."""

    tags: torch.Tensor

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        for field, words in _WORDS.items():
            self.register_buffer(field, torch.tensor([0, *(_single(tokenizer, word) for word in words)]))
        self.register_buffer("tags", torch.tensor([_single(tokenizer, _GROUND), _single(tokenizer, _CENTER)]))

    def forward(self, symbols: torch.Tensor, embedding: torch.nn.Embedding) -> torch.Tensor:
        """int64 [..., 4] of color, shape, character (0: none) and center to embeddings [..., D]."""
        total = torch.zeros((), device=symbols.device)
        for index, field in enumerate(_WORDS):
            value = symbols[..., index]
            word: torch.Tensor = embedding(getattr(self, field)[value])
            total = total + word * (value > 0)[..., None]
        tags: torch.Tensor = embedding(self.tags)
        ground = (symbols[..., :3] == 0).all(-1)
        total = total + tags[0] * ground[..., None]
        return total + tags[1] * (symbols[..., 3] > 0)[..., None]


def patch_symbols(labels: PatchLabels) -> NDArray[np.int64]:
    """int64 [T, N, 4]; what a patch leaves unsure it does not say."""
    grids = np.stack([getattr(labels, field) for field in FIELDS], axis=-1)
    said: NDArray[np.int64] = np.maximum(grids, 0)
    return said


def list_symbols(scene: Scene, rng: np.random.Generator) -> NDArray[np.int64]:
    """A scene as a list [n, 4] in place of a picture: each object once as a thumbnail shows it, then up close."""
    things = [scene.things[at] for at in rng.permutation(len(scene.things))]
    codes = [
        [COLORS.index(thing.color) + 1, SHAPES.index(thing.shape) + 1, CHARACTERS.index(thing.character) + 1]
        for thing in things
    ]
    overview = [[*code[:2], 0, 1] for code in codes]
    close = [[*code, 0] for code in codes for _ in range(rng.integers(1, 4))]
    ground = [[0, 0, 0, 0]] * int(rng.integers(0, 8))
    return np.array([*overview, *(rng.permutation(np.array(close + ground)))], np.int64)


def _single(tokenizer: PreTrainedTokenizerFast, word: str) -> int:
    ids = tokenizer(f" {word}", add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise ValueError(f"{word!r} is no single token of the vocabulary")
    return int(ids[0])
