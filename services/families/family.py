"""What a model family must say about itself.

A family is two halves that never meet in one process: the encoder opens the vision half, the LLM service the language
half, and neither reads the other's weights. Both speak of *tokens*, what one row of features becomes in the language
model: where a family merges patches, its tower does so, and its CLS rows are those of the merged patches.

An image that is cut into no local tiles has its thumbnail alone: T = 1.

Letters, as in docs/architecture.md's glossary: T tiles of an image, tile 0 its thumbnail; N tokens a tile; H width of a
feature row; D width of the language model; L tokens of a sequence; n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch

from services.families.grid import Grid, Newlines, Placement

if TYPE_CHECKING:
    # Each is one half's: the other does without.
    from PIL import Image
    from transformers import CLIPVisionModel

# In place of a row's index: the family's newline embedding.
NEWLINE = -1


class CutError(ValueError):
    """An image can't be cut into tiles; the message says what it "is"."""


class Cutter(Protocol):
    """Cuts pictures, in a process without torch: a frozen dataclass of a few values that JSON has, and in a module that
    imports no more than NumPy and Pillow."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(self, image: Image.Image, grid: Grid) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The thumbnail and the local tiles in raster order, uint8 [T, 3, tile_size, tile_size]."""
        ...


class Tiler(Protocol):
    """How a checkpoint wants its images cut."""

    @property
    def tile_size(self) -> int:
        """Side of a tile in pixels."""
        ...

    @property
    def tokens_per_side(self) -> int:
        """Of a tile; N is its square."""
        ...

    @property
    def max_tiles(self) -> int:
        """Of one image, the thumbnail included."""
        ...

    @property
    def identity(self) -> list[Any]:
        """All that changes the pixels of tiles, in values that JSON has."""
        ...

    def grid(self, width: int, height: int) -> Grid:
        """The tiles that an image of this size in pixels becomes; of 0 x 0 it has its thumbnail alone.

        Raises:
            CutError: there is no such grid.
        """
        ...

    def place(self, grid: Grid) -> Placement:
        """Where ``cutter`` puts an image of this grid."""
        ...

    @property
    def cutter(self) -> Cutter: ...

    def cut(self, image: Image.Image, grid: Grid) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """What ``cutter`` does, in this process."""
        ...


@dataclass(frozen=True)
class TowerPass:
    """What one pass over T tiles yields, on the tower's device.

    Args:
        features: [T, N, H] in the tower's dtype: one row a token, as the family's projector takes them.
        cls_attention: float32 [layers, T, heads, N]: what CLS looks at in the layers asked for, in their order; the
            softmaxed row without its CLS column, a token's patches added up.
        cls: [T, width of the tower], the last hidden state of CLS, before any norm.
    """

    features: torch.Tensor
    cls_attention: torch.Tensor
    cls: torch.Tensor


class Tower(Protocol):
    """A family's vision tower with its weights, on a device."""

    @property
    def feature_width(self) -> int:
        """H."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """All that changes its features, in values that JSON has."""
        ...

    @property
    def clip(self) -> CLIPVisionModel | None:
        """The CLIP tower it is, if it is one: a relevance model with the same weights then shares its pass."""
        ...

    def __call__(self, pixels: torch.Tensor, layers: Sequence[int]) -> TowerPass:
        """One pass over normalised tiles [T, 3, s, s] in the tower's dtype, recording CLS rows of ``layers``."""
        ...


class VisionHalf(Protocol):
    """What the encoder asks of a family, for one checkpoint."""

    @property
    def tiler(self) -> Tiler: ...

    @property
    def layers(self) -> int:
        """Transformer blocks of the tower."""
        ...

    @property
    def width(self) -> int:
        """Of the tower's hidden states, in values."""
        ...

    @property
    def stored_dtype(self) -> torch.dtype:
        """That most of the tower's values are stored in.

        Raises:
            SettingError: the checkpoint has no such weights.
        """
        ...

    def open_tower(self, device: torch.device, dtype: torch.dtype) -> Tower:
        """Load the tower, and nothing else; on ``meta`` nothing is read, and all is checked.

        Raises:
            SettingError: the checkpoint has no such weights.
        """
        ...


@dataclass(frozen=True)
class Splice:
    """The sequence of tokens that a language model reads in place of one image.

    Args:
        source: int64 [n], for each token the row of features it is made from, or NEWLINE.
        position: int64 [n], its offset in the sequence that nothing was dropped from.
        full_length: length of that sequence.
    """

    source: np.ndarray[Any, np.dtype[np.int64]]
    position: np.ndarray[Any, np.dtype[np.int64]]
    full_length: int

    def __len__(self) -> int:
        return len(self.source)

    @property
    def newlines(self) -> int:
        return int((self.source == NEWLINE).sum())


class Projector(Protocol):
    """From the tower's width to the language model's."""

    @property
    def feature_width(self) -> int:
        """H."""
        ...

    @property
    def newline(self) -> torch.Tensor:
        """What NEWLINE stands for, [D]."""
        ...

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """[n, H] in any dtype to [n, D] in the projector's."""
        ...


class LanguageHalf(Protocol):
    """What the LLM service asks of a family, for one checkpoint."""

    @property
    def config(self) -> Any:
        """The language model's transformers config."""
        ...

    @property
    def image_token_id(self) -> int:
        """Stands for an image in a prompt."""
        ...

    @property
    def image_bounds(self) -> tuple[str, str]:
        """Tokens that stand before and behind every image, where a chat template writes the placeholder alone; each ""
        where there is none.

        Raises:
            SettingError: the checkpoint does not say which they are.
        """
        ...

    @property
    def stored_dtype(self) -> torch.dtype:
        """That most of the language model's values are stored in.

        Raises:
            SettingError: the checkpoint has no such weights.
        """
        ...

    def language_weight(self, name: str) -> str | None:
        """A stored tensor's name in a causal language model of transformers; None for what is no part of it."""
        ...

    def open_projector(self, device: torch.device, dtype: torch.dtype) -> Projector:
        """Load the projector and what else makes visual tokens, and nothing else; on ``meta`` nothing is read.

        Raises:
            SettingError: the checkpoint has no such weights.
        """
        ...

    def splice(self, grid: Grid, kept: Sequence[np.ndarray[Any, np.dtype[np.int64]]], newlines: Newlines) -> Splice:
        """The inverse of cutting: the order in which the model was trained to read what is left of an image.

        Args:
            grid: how it was cut.
            kept: for each tile, the thumbnail's first, the kept positions within it, ascending. Rows of features stand
                in this order.
            newlines: which of them to keep.
        """
        ...
