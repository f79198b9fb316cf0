"""Steps 2 and 3: projector and language model learn to answer from a tower's features, then the tower with them.

Every token of every image is kept: HERO needs no training, and the model it is measured on has had none for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from models.world.labels import PatchLabels, label_tiles
from models.world.look import sample_look
from models.world.page import Page
from models.world.questions import Question
from models.world.scene import Scene
from models.world.tiles import cut_scene
from services.families.family import Tiler
from services.families.grid import Grid

from .clip import DenseHeads, clip_loss, sample_tiles
from .family import Family
from .language import Reader, draw_questions, sample_picture
from .optimizer import Optimizer
from .parallel import rank, share
from .run import Report, Run
from .symbols import SymbolTable, patch_symbols


@dataclass(frozen=True)
class SceneBatch:
    """B scenes or pages: their tiles, uint8 [sum of T, 3, s, s], one after the other, and what is asked about each."""

    tiler: Tiler
    pixels: torch.Tensor
    scenes: list[Scene | Page]
    grids: list[Grid]
    questions: list[list[Question]]

    def labels(self) -> list[PatchLabels]:
        """What each scene's patches show; only the alignment asks."""
        return [
            label_tiles(scene, grid, self.tiler.place(grid))
            for scene, grid in zip(self.scenes, self.grids, strict=True)
        ]


def sample_scenes(rng: np.random.Generator, count: int, tiler: Tiler) -> SceneBatch:
    pixels, scenes, grids, questions = [], [], [], []
    for index in rng.integers(0, 2**31, count):
        scene = sample_picture(int(index))
        grid = tiler.grid(scene.width, scene.height)
        pixels.append(cut_scene(scene, grid, sample_look(rng), tiler))
        scenes.append(scene)
        grids.append(grid)
        questions.append(draw_questions(scene, rng))
    return SceneBatch(tiler, torch.from_numpy(np.concatenate(pixels)), scenes, grids, questions)


def train_alignment(
    folder: Path,
    family: Family,
    clip: torch.nn.Module,
    reader: Reader,
    projector: torch.nn.Module,
    steps: int,
    seed: int,
    batch: int = 8,
) -> None:
    """The projector alone learns to say what each patch shows, in the language model's words."""
    device = reader.newline.device
    table = SymbolTable(reader.tokenizer).to(device)
    clip.requires_grad_(False)
    run = Run(folder, "alignment", steps, {"projector": projector})

    def loss(step: int) -> tuple[torch.Tensor, Report]:
        scenes = sample_scenes(np.random.default_rng((99, seed, step, rank())), share(batch), family.tiler)
        labels = scenes.labels()
        with torch.no_grad():
            features = family.see(clip, scenes.pixels).features
            codes = torch.from_numpy(np.concatenate([patch_symbols(each) for each in labels])).to(device)
            words = table(codes, reader.embedding)
        sure = torch.from_numpy(np.concatenate([_sure(each) for each in labels])).to(device)
        shown = sure & (codes[..., :-1] > 0).any(-1)
        error = (projector(features) - words).square().mean(-1)
        value = 0.3 * error[sure & ~shown].mean() + error[shown].mean()
        variance = words[shown].var(0).mean()
        return value, {"unexplained": float((error[shown].mean() / variance).detach())}

    run.train(Optimizer([projector], muon=0, adamw=3e-3), loss, every=25)


def train_answers(
    folder: Path,
    family: Family,
    clip: torch.nn.Module,
    reader: Reader,
    projector: torch.nn.Module,
    steps: int,
    seed: int,
    batch: int = 16,
) -> None:
    """Projector and language model on questions and answers; the tower stays as it is."""
    clip.requires_grad_(False)
    run = Run(folder, "answers", steps, {"reader": reader, "projector": projector})

    def loss(step: int) -> tuple[torch.Tensor, Report]:
        scenes = sample_scenes(np.random.default_rng((111, seed, step, rank())), share(batch), family.tiler)
        with torch.no_grad():
            features = family.see(clip, scenes.pixels).features
        return _answer(reader, projector, features, scenes)

    run.train(Optimizer([reader, projector], muon=2e-3, adamw=1e-3), loss, every=25)


def train_together(
    folder: Path,
    family: Family,
    clip: torch.nn.Module,
    heads: DenseHeads,
    reader: Reader,
    projector: torch.nn.Module,
    captions: PreTrainedTokenizerFast,
    steps: int,
    seed: int,
    batch: int = 12,
) -> None:
    """The tower too. CLIP's losses go on beside the answers', so that one tower serves for both in the end."""
    clip.requires_grad_(True)
    modules = {"clip": clip, "heads": heads, "reader": reader, "projector": projector}
    run = Run(folder, "together", steps, modules)

    def loss(step: int) -> tuple[torch.Tensor, Report]:
        scenes = sample_scenes(np.random.default_rng((122, seed, step, rank())), share(batch), family.tiler)
        value, report = _answer(reader, projector, family.see(clip, scenes.pixels).features, scenes)
        tiles = sample_tiles(10_000_000 + 40 * step + 20 * rank(), share(12), share(4), family.tiler)
        own, seen = clip_loss(family, clip, heads, captions, tiles)
        return value + 0.3 * own, {**report, **{f"tile {name}": number for name, number in seen.items()}}

    run.train(Optimizer(modules.values(), muon=4e-4, adamw=2e-4), loss, every=25)


def _answer(
    reader: Reader, projector: torch.nn.Module, features: torch.Tensor, scenes: SceneBatch
) -> tuple[torch.Tensor, Report]:
    tokens = projector(features).split([1 + grid.rows * grid.cols for grid in scenes.grids])
    images = [reader.flatten(own, grid) for own, grid in zip(tokens, scenes.grids, strict=True)]
    questions: Sequence[Sequence[Question]] = scenes.questions
    return reader.loss(images, questions)


def _sure(labels: PatchLabels) -> NDArray[np.bool_]:
    """bool [T, N]: patches whose whole content is known; in the thumbnail nobody expects an object's character."""
    character = labels.character >= 0
    character[0] = True
    sure: NDArray[np.bool_] = (labels.color >= 0) & (labels.shape >= 0) & character & (labels.key >= 0)
    return sure
