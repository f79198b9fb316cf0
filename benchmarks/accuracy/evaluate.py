"""Every method at every retention on the same questions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray

from services.common.settings import Dtype

from .bench import Bench
from .dataset import Picture, pictures
from .forced import Forced, is_right
from .methods import Asked, Method
from .prompts import show, text
from .worlds import WORLDS

# Scenes whose prompts are held, and sorted by length, at a time.
_CHUNK = 4


@dataclass(frozen=True)
class Outcome:
    """Q questions x M methods x R retentions.

    Args:
        scenes: int64 [Q], the scene each question is about.
        kinds: str [Q].
        ways: str [Q], how each question's picture was made.
        right: bool [Q, M, R].
        kept: int64 [Q, M, R], visual tokens.
        newlines: int64 [Q, M, R], the newlines among them.
        objects: int64 [Q], how many objects of the scene it is about.
        first: float [Q], 1 if the tile most relevant to the question holds an object it is about, else 0; nan
            without such an object.
        chance: float [Q], how often a tile drawn blindly would.
    """

    scenes: NDArray[np.int64]
    kinds: NDArray[np.str_]
    ways: NDArray[np.str_]
    right: NDArray[np.bool_]
    kept: NDArray[np.int64]
    newlines: NDArray[np.int64]
    objects: NDArray[np.int64]
    first: NDArray[np.float64]
    chance: NDArray[np.float64]

    @classmethod
    def join(cls, parts: Sequence[Outcome]) -> Outcome:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))


def evaluate_pictures(
    bench: Bench, scenes: Sequence[Picture], methods: Sequence[Method], retentions: Sequence[float]
) -> Outcome:
    """Prompts that several methods share are answered once."""
    count = sum(len(scene.questions) for scene in scenes)
    shape = (count, len(methods), len(retentions))
    right, kept, newlines = np.zeros(shape, bool), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    first, chance = np.full(count, np.nan), np.full(count, np.nan)
    todo: list[Forced] = []
    places: dict[tuple[object, ...], list[tuple[int, int, int]]] = {}
    number = 0
    for scene in scenes:
        sight = bench.look(scene)
        for order, question in enumerate(scene.questions):
            asked = Asked(bench.embedder.embed(question.text), (scene.index, order))
            words = text(bench, question)
            if scene.tiles_asked[order]:
                relevance = sight.output.embedding[1:].numpy() @ asked.embedding
                first[number] = int(relevance.argmax()) in scene.tiles_asked[order]
                chance[number] = len(scene.tiles_asked[order]) / len(relevance)
            for m, method in enumerate(methods):
                for r, retention in enumerate(retentions):
                    shown = show(bench, sight, asked, retention, method)
                    kept[number, m, r] = sum(map(len, shown.kept))
                    newlines[number, m, r] = shown.splice.newlines
                    key = (number, *shown.key)
                    if key not in places:
                        places[key] = []
                        todo.append(Forced(shown.prompt(bench, words.ids), words.answer))
                    places[key].append((number, m, r))
            number += 1
    for verdict, where in zip(is_right(bench.engine, todo), places.values(), strict=True):
        for place in where:
            right[place] = verdict
    asked_about = [(scene, question) for scene in scenes for question in scene.questions]
    return Outcome(
        np.array([scene.index for scene, _ in asked_about], np.int64),
        np.array([question.kind for _, question in asked_about], np.str_),
        np.array([scene.way for scene, _ in asked_about], np.str_),
        right,
        kept,
        newlines,
        np.array([len(question.targets) for _, question in asked_about], np.int64),
        first,
        chance,
    )


@dataclass(frozen=True)
class Task:
    """What a worker is told.

    Args:
        model: a folder.
        split: of the world's.
        methods: and
        retentions: each with each.
        world: where pictures come from.
        chosen: takes from a picture what is not to be asked.
        tower: dtype that it computes in.
    """

    model: str
    split: str
    methods: tuple[Method, ...]
    retentions: tuple[float, ...]
    world: str = WORLDS[0]
    chosen: Callable[[Picture], Picture] | None = None
    tower: Dtype = "float32"


def evaluate(task: Task, scenes: int, workers: int, progress: Callable[[int], None] = lambda done: None) -> Outcome:
    """The first ``scenes`` scenes of a split, over this many processes of one thread each; 0 stays in this one."""
    chunks = [range(start, min(start + _CHUNK, scenes)) for start in range(0, scenes, _CHUNK)]
    parts = []
    if not workers:
        _start(task)
        for chunk in chunks:
            parts.append(_work(chunk))
            progress(chunk.stop)
        return Outcome.join(parts)
    # Models that fork with threads running hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (task,)) as pool:
        for chunk, part in zip(chunks, pool.map(_work, chunks), strict=True):
            parts.append(part)
            progress(chunk.stop)
    return Outcome.join(parts)


def default_workers() -> int:
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


_task: Task
_bench: Bench


def _start(task: Task) -> None:
    global _task, _bench
    # Threads that wait for each other cost small models more than they save.
    torch.set_num_threads(1)
    _task, _bench = task, Bench(task.model, task.tower)


def _work(chunk: range) -> Outcome:
    found = list(pictures(_task.split, chunk, _task.world, _bench.tiler))
    if _task.chosen is not None:
        found = [picture for picture in map(_task.chosen, found) if picture.questions]
    return evaluate_pictures(_bench, found, _task.methods, _task.retentions)
