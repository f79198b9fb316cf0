"""Questions about a scene, each with its one right answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from services.families.grid import Grid

from .labels import tile_of
from .page import Line
from .scene import COLORS, SHAPES, Scene, Thing

_Choice = TypeVar("_Choice")


@dataclass(frozen=True)
class Question:
    """``targets`` are the objects or lines it is about; none where it is about all or about what is not there."""

    kind: str
    text: str
    answer: str
    targets: tuple[Thing | Line, ...] = ()


def ask(kind: str, scene: Scene, grid: Grid, rng: np.random.Generator) -> Question | None:
    """A question of this kind about this scene; None if the scene has nothing to ask for."""
    return _ASK[kind](scene, grid, rng)


def _character(scene: Scene, grid: Grid, rng: np.random.Generator) -> Question:
    thing = _pick(scene.things, rng)
    return Question("character", f"what character is on the {thing.name}?", thing.character, (thing,))


def _color(scene: Scene, grid: Grid, rng: np.random.Generator) -> Question | None:
    things = _alone(scene.things, lambda thing: (thing.shape, thing.character))
    if not things:
        return None
    thing = _pick(things, rng)
    return Question("color", f"what color is the {thing.shape} with {thing.character}?", thing.color, (thing,))


def _shape(scene: Scene, grid: Grid, rng: np.random.Generator) -> Question | None:
    things = _alone(scene.things, lambda thing: (thing.color, thing.character))
    if not things:
        return None
    thing = _pick(things, rng)
    return Question("shape", f"what shape is the {thing.color} thing with {thing.character}?", thing.shape, (thing,))


def _exists(scene: Scene, grid: Grid, rng: np.random.Generator) -> Question:
    names = {thing.name for thing in scene.things}
    if rng.random() < 0.5:
        thing = _pick(scene.things, rng)
        return Question("exists", f"is there a {thing.name}?", "yes", (thing,))
    # Mostly a colour and a shape that are there, but not together.
    mixed = sorted({f"{a.color} {b.shape}" for a in scene.things for b in scene.things} - names)
    every = sorted({f"{color} {shape}" for color in COLORS for shape in SHAPES} - names)
    choices = mixed if mixed and rng.random() < 0.7 else every
    return Question("exists", f"is there a {choices[rng.integers(len(choices))]}?", "no")


def _count(scene: Scene, grid: Grid, rng: np.random.Generator) -> Question:
    if rng.random() < 0.5:
        asked = [(f"how many {shape} shapes are there?", _having(scene, shape=shape)) for shape in SHAPES]
    else:
        asked = [(f"how many {color} things are there?", _having(scene, color=color)) for color in COLORS]
    # Every number alike, as far as the scene has it.
    numbers = sorted({len(found) for _, found in asked})
    number = numbers[rng.integers(len(numbers))]
    text, found = _pick([pair for pair in asked if len(pair[1]) == number], rng)
    return Question("count", text, str(number), found)


def _pair(scene: Scene, grid: Grid, rng: np.random.Generator) -> Question | None:
    pairs = [(a, b) for a in scene.things for b in scene.things if tile_of(scene, grid, a) != tile_of(scene, grid, b)]
    if not pairs:
        return None
    a, b = _pick(pairs, rng)
    text = f"what characters are on the {a.name} and the {b.name}?"
    return Question("pair", text, f"{a.character} {b.character}", (a, b))


_ASK: dict[str, Callable[[Scene, Grid, np.random.Generator], Question | None]] = {
    "character": _character,
    "color": _color,
    "shape": _shape,
    "exists": _exists,
    "count": _count,
    "pair": _pair,
}
KINDS = tuple(_ASK)


def _having(scene: Scene, color: str | None = None, shape: str | None = None) -> tuple[Thing, ...]:
    return tuple(thing for thing in scene.things if color in (None, thing.color) and shape in (None, thing.shape))


def _alone(things: tuple[Thing, ...], key: Callable[[Thing], object]) -> list[Thing]:
    keys = [key(thing) for thing in things]
    return [thing for thing, own in zip(things, keys, strict=True) if keys.count(own) == 1]


def _pick(choices: Sequence[_Choice], rng: np.random.Generator) -> _Choice:
    return choices[int(rng.integers(len(choices)))]
