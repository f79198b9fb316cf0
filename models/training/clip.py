"""Step 1: a CLIP on tiles and captions, with dense auxiliary losses on its patches.

The dense heads are thrown away afterwards. They read what the language model will read; the contrastive loss reads CLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from models.world.captions import Caption, describe, describe_lines
from models.world.labels import PatchLabels, label_crowd, label_tiles, visible_lines, visible_things
from models.world.look import sample_look
from models.world.page import KEYS, Line, Page, sample_page, sample_slip
from models.world.scene import CHARACTERS, COLORS, SHAPES, TILE, Thing, sample_crowd, sample_scene
from models.world.tiles import cut_scene, draw
from services.families.family import Tiler

from .family import Family
from .optimizer import Optimizer
from .parallel import rank, share
from .run import Run

DENSE = {
    "color": 1 + len(COLORS),
    "shape": 1 + len(SHAPES),
    "character": 1 + len(CHARACTERS),
    "center": 2,
    "key": 1 + len(KEYS),
    "first": 1 + len(CHARACTERS),
    "second": 1 + len(CHARACTERS),
}
_DENSE_WEIGHT = {"color": 1.0, "shape": 1.0, "character": 3.0, "center": 0.5, "key": 1.0, "first": 2.0, "second": 2.0}
_CONTRASTIVE_WEIGHT = 0.3


class DenseHeads(torch.nn.Module):
    """One linear reading of a patch's features for each thing there is to tell."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(width, size) for name, size in DENSE.items()})

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        normed = self.norm(features)
        return {name: head(normed) for name, head in self.heads.items()}


@dataclass(frozen=True)
class TileBatch:
    """B tiles: uint8 [B, 3, s, s], targets int64 [B, N] each, what each shows, and one caption of each."""

    pixels: torch.Tensor
    labels: dict[str, torch.Tensor]
    things: list[list[Thing | Line]]
    captions: list[Caption]


def sample_tiles(first: int, crowds: int, scenes: int, tiler: Tiler, split: str = "train") -> TileBatch:
    """Crowded tiles, and whole scenes with their thumbnails, from this index on; of each a third are slips and pages.

    The same indices, the same batch.
    """
    rng = np.random.default_rng((77, first))
    pixels, labels, captions = [], [], []
    things: list[list[Thing | Line]] = []
    for index in range(first, first + crowds):
        crowd = sample_slip(index) if index % 3 == 0 else sample_crowd(index)
        pixels.append(draw(crowd, sample_look(rng)).transpose(2, 0, 1)[None])
        labels.append(label_crowd(crowd))
        if isinstance(crowd, Page):
            things.append(list(crowd.lines))
            captions.append(describe_lines(list(crowd.lines), rng, legible=True))
            continue
        # Those whose character is in the picture.
        whole = [thing for thing in crowd.things if min(thing.x, thing.y) >= 6 and max(thing.x, thing.y) <= TILE - 6]
        things.append(list(crowd.things))
        captions.append(describe(whole, rng, legible=True))
    for index in range(first, first + scenes):
        scene = sample_page(split, index) if index % 3 == 0 else sample_scene(split, index)
        grid = tiler.grid(scene.width, scene.height)
        place = tiler.place(grid)
        tiles = cut_scene(scene, grid, sample_look(rng), tiler)
        pixels.append(tiles)
        labels.append(label_tiles(scene, grid, place))
        for tile in range(len(tiles)):
            if isinstance(scene, Page):
                lines = visible_lines(scene, grid, tile, place)
                captions.append(describe_lines(lines, rng, legible=tile > 0))
                things.append(list(lines))
            else:
                seen = visible_things(scene, grid, tile, place)
                captions.append(describe(seen, rng, legible=tile > 0))
                things.append(list(seen))
    return TileBatch(torch.from_numpy(np.concatenate(pixels)), _join(labels), things, captions)


def clip_loss(
    family: Family, model: Any, heads: DenseHeads, tokenizer: PreTrainedTokenizerFast, batch: TileBatch
) -> tuple[torch.Tensor, dict[str, float]]:
    """The weighted loss, and what to log."""
    device = model.logit_scale.device
    seen = family.see(model, batch.pixels)
    dense = heads(seen.features)
    loss = torch.zeros((), device=device)
    report = {}
    for name, logits in dense.items():
        target = batch.labels[name].to(device)
        # Most of a picture is ground: what is on it counts as much as all of it.
        weight = torch.ones(DENSE[name], device=device)
        weight[0] = 0.3
        part = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), weight, ignore_index=-100)
        loss = loss + _DENSE_WEIGHT[name] * part
        shown = target > 0
        report[name] = float((logits.argmax(-1) == target)[shown].float().mean())
    contrastive, report["match"] = _contrastive(model, tokenizer, batch, seen.pooled)
    report["contrastive"] = float(contrastive.detach())
    return loss + _CONTRASTIVE_WEIGHT * contrastive, report


def _contrastive(
    model: Any, tokenizer: PreTrainedTokenizerFast, batch: TileBatch, pooled: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """CLIP's symmetric loss, where a caption that holds for several tiles of the batch has them all as its targets."""
    device = pooled.device
    text = tokenizer([caption.text for caption in batch.captions], padding=True, return_tensors="pt").to(device)
    texts = model.text_model(text.input_ids, text.attention_mask).pooler_output
    texts = functional.normalize(model.text_projection(texts), dim=-1)
    images = functional.normalize(model.visual_projection(pooled), dim=-1)
    logits = texts @ images.T * model.logit_scale.exp().clamp(max=100)
    holds = torch.tensor([[caption.holds(things) for things in batch.things] for caption in batch.captions])
    holds = holds.float().to(device)
    holds.fill_diagonal_(1)
    loss = (_soft(logits, holds) + _soft(logits.T, holds.T)) / 2
    best = logits.argmax(dim=1, keepdim=True)
    return loss, float(holds.gather(1, best).mean())


def _soft(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, targets / targets.sum(dim=1, keepdim=True))


def _join(labels: list[PatchLabels]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.concatenate([getattr(each, name) for each in labels])) for name in DENSE}


def train_clip(
    folder: Path, family: Family, model: Any, heads: DenseHeads, tokenizer: PreTrainedTokenizerFast, steps: int
) -> None:
    """Crowds first, where there is most to learn from; then more and more of the scenes the model is for."""
    run = Run(folder, "clip", steps, {"clip": model, "heads": heads})

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        late = step / steps
        crowds, scenes = (36, 2) if late < 0.4 else (24, 4) if late < 0.75 else (10, 8)
        batch = sample_tiles(40 * step + 20 * rank(), share(crowds), share(scenes), family.tiler)
        return clip_loss(family, model, heads, tokenizer, batch)

    run.train(Optimizer([model, heads], muon=3e-3, adamw=1e-3), loss)
