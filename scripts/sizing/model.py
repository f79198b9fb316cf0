"""What of a checkpoint can be counted without its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, CLIPVisionConfig, CLIPVisionModel

from services.common.checkpoint import Checkpoint
from services.common.rows import row_bytes, row_dtype
from services.families.registry import language_half, vision_half
from services.llm.cost import PromptCost
from services.llm.language_model import check_language_model


@dataclass(frozen=True)
class Picture:
    """What an image becomes.

    Args:
        valid: visual tokens of each tile, without padding, the thumbnail's first.
        tile_tokens: N.
        newline_tokens: behind the rows of the picture, in families that have them.
    """

    valid: list[int]
    tile_tokens: int
    newline_tokens: int


@dataclass(frozen=True)
class Model:
    """A checkpoint's, of one dtype.

    Args:
        tower, relevance, projector, language: values in the weights of each. ``relevance`` is the tower of a CLIP
            ViT-B/32, which the encoder takes unless it is told otherwise.
        value_bytes: of one of them.
        pass_bytes: of the tensors of one tile that a pass of the tower has at once.
        tile_flops: operations of a tile in the tower and in that CLIP: 2 P n for n positions, and 4 n^2 d a layer for
            attention in which each sees all (QK^T and AV; a prompt's, in ``cost``, sees half).
        tile_bytes: of its pixels, a byte a value.
        prompt_bytes: the same of the language model, for one token that it reads.
        row_bytes: of one visual token in the cache and on the wire.
        context_length: tokens of prompt and answer together.
        cost: of the language model's prompts.
        picture: what an image of this width and height becomes. Raises CutError.
    """

    tower: int
    relevance: int
    projector: int
    language: int
    value_bytes: int
    pass_bytes: int
    tile_flops: float
    tile_bytes: int
    prompt_bytes: int
    row_bytes: int
    context_length: int
    cost: PromptCost
    picture: Callable[[int, int], Picture]

    @classmethod
    def of(cls, source: Checkpoint, dtype: torch.dtype) -> Model:
        """Of a checkpoint's config.json and preprocessor_config.json alone.

        Raises:
            SettingError: it can't be served.
        """
        vision, language = vision_half(source), language_half(source)
        check_language_model(language.config, source)
        tiler, text, seen = vision.tiler, language.config, source.config.vision_config
        # Models without memory: their modules know their shapes.
        with torch.device("meta"):
            whole = AutoModelForImageTextToText.from_config(source.config)
            clip = CLIPVisionModel(CLIPVisionConfig())
        tower = _values(whole.model.vision_tower)
        text_model = _values(whole.model.language_model, whole.lm_head)

        def picture(width: int, height: int) -> Picture:
            grid = tiler.grid(width, height)
            valid = grid.valid()
            splice = language.splice(grid, [np.flatnonzero(tile) for tile in valid], "kept_rows")
            return Picture(valid.sum(axis=1).tolist(), grid.tile_tokens, splice.newlines)

        size = dtype.itemsize
        positions = (tiler.tile_size // _one(seen.patch_size)) ** 2 + 1
        pixels = 3 * tiler.tile_size**2
        return cls(
            tower=tower,
            relevance=_values(clip),
            projector=_values(whole) - tower - text_model,
            language=text_model,
            value_bytes=size,
            # States, queries, keys and values, sums and norms; what is within its two layers; bytes, as indices too.
            pass_bytes=positions * (10 * seen.hidden_size + 3 * seen.intermediate_size) * size + pixels * (16 + size),
            tile_flops=pass_flops(tower, positions, seen.hidden_size, seen.num_hidden_layers)
            + pass_flops(
                _values(clip), positions_of(clip.config), clip.config.hidden_size, clip.config.num_hidden_layers
            ),
            tile_bytes=pixels,
            prompt_bytes=(8 * text.hidden_size + 3 * text.intermediate_size) * size,
            row_bytes=row_bytes(row_dtype(dtype), whole.model.multi_modal_projector.linear_1.in_features),
            context_length=int(text.max_position_embeddings),
            cost=PromptCost.of(text, dtype),
            picture=picture,
        )


def _values(*modules: torch.nn.Module) -> int:
    """In their weights, each of which counts once."""
    weights = {id(weight): weight.numel() for module in modules for weight in module.parameters()}
    return sum(weights.values())


def positions_of(config: CLIPVisionConfig) -> int:
    """Of a tile: its patches, and CLS."""
    return (_one(config.image_size) // _one(config.patch_size)) ** 2 + 1


def pass_flops(weights: int, positions: int, width: int, layers: int) -> float:
    """Operations of a tile in a tower: 2 P n, and 4 n^2 d a layer. ``width`` is d, heads x head size."""
    return 2.0 * weights * positions + 4.0 * layers * width * float(positions) ** 2


def _one(size: int | list[int] | tuple[int, ...]) -> int:
    """Of a square; some configs say both of its sides."""
    return size if isinstance(size, int) else size[0]
