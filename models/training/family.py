"""What of the recipe is a family's own: how pictures are cut and seen, the order they are read in, the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from services.families.family import Splice, Tiler


@dataclass(frozen=True)
class Seen:
    """What a tower makes of T tiles.

    Args:
        features: [T, N, H], what the projector takes.
        pooled: [T, W], what CLIP's projection takes.
    """

    features: torch.Tensor
    pooled: torch.Tensor


@dataclass(frozen=True)
class Family:
    """T tiles, N tokens a tile, H values a row, D the language model's width.

    Args:
        steps: of the recipe, and how many optimizer steps each has.
        tiler: how pictures are cut.
        width: H.
        specials: the tokenizer's control tokens, in the order of their ids.
        before, behind: what stands around an image in a user's turn.
        build_clip: a fresh tower beside a text tower for captions, from the captions' tokenizer: a module with
            CLIP's ``text_model``, ``text_projection``, ``visual_projection`` and ``logit_scale``.
        see: that module and uint8 [T, 3, s, s] to what it sees.
        build_language_model: a fresh one, from its tokenizer.
        build_projector: a fresh one.
        splice: see ``LanguageHalf.splice``.
        assemble: that module, language model, newline, projector, tokenizer and the config's ``heroserve`` entry to
            Hugging Face's model.
        finish: the folder of that, the module, the captions' tokenizer and the checkpoint that was begun with (or
            None): writes what else belongs there.
        placeholder: what stands for an image in the chat template.
        named: those control tokens that the tokenizer looks up by a name, by it.
        begins: it can't begin with chance: something of it is another checkpoint's.
    """

    steps: Mapping[str, int]
    tiler: Tiler
    width: int
    specials: Sequence[str]
    before: str
    behind: str
    build_clip: Callable[[PreTrainedTokenizerFast], torch.nn.Module]
    see: Callable[[Any, torch.Tensor], Seen]
    build_language_model: Callable[[PreTrainedTokenizerFast], Any]
    build_projector: Callable[[], torch.nn.Module]
    splice: Callable[..., Splice]
    assemble: Callable[..., Any]
    finish: Callable[[Path, Any, PreTrainedTokenizerFast, Path | None], None]
    placeholder: str = "<image>"
    named: Mapping[str, str] = field(default_factory=dict)
    begins: bool = False
