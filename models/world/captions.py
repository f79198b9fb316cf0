"""Captions of tiles, for the contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .page import Line
from .scene import Thing

_FRAMES = ("{}", "a picture of {}", "there is {} here", "{} on the ground", "this shows {}", "look at {}")


@dataclass(frozen=True)
class Caption:
    """A text about some objects, and what a picture must show for it to hold."""

    text: str
    claims: tuple[tuple[str | None, ...], ...]

    def holds(self, things: Sequence[Thing | Line]) -> bool:
        return all(any(_fits(claim, thing.facts) for thing in things) for claim in self.claims)


def _fits(claim: tuple[str | None, ...], facts: tuple[str, ...]) -> bool:
    return len(claim) == len(facts) and all(one in (None, fact) for one, fact in zip(claim, facts, strict=True))


def describe_lines(lines: list[Line], rng: np.random.Generator, legible: bool) -> Caption:
    """One or two of the lines, by label, code or both, where they are legible."""
    if not lines or not legible:
        return Caption("paper with lines" if lines else "empty paper", ())
    parts, claims = [], []
    for at in rng.permutation(len(lines))[: rng.integers(1, 3)]:
        line, told = lines[at], rng.integers(3)
        key, code = (None if told == 1 else line.key), (None if told == 2 else line.code)
        parts.append(f"{'a' if rng.random() < 0.5 else 'the'} line " + " ".join(word for word in (key, code) if word))
        claims.append((key, code))
    return Caption(_FRAMES[rng.integers(len(_FRAMES) - 1)].format(" and ".join(parts)), tuple(claims))


def describe(things: list[Thing], rng: np.random.Generator, legible: bool) -> Caption:
    """One to three of the objects, by two or three of their attributes; characters only where they are legible."""
    if not things:
        return Caption("empty ground", ())
    chosen = [things[at] for at in rng.permutation(len(things))[: rng.integers(1, 4)]]
    parts, claims = [], []
    for thing in chosen:
        character = thing.character if legible and rng.random() < 0.5 else None
        # With a character to go by, colour or shape may be left out.
        left_out = int(rng.integers(4)) if character else 3
        color, shape = (None if left_out == 0 else thing.color), (None if left_out == 1 else thing.shape)
        article = "a" if rng.random() < 0.5 else "the"
        words = [article, color, shape or "thing", f"with {character}" if character else None]
        parts.append(" ".join(word for word in words if word))
        claims.append((color, shape, character))
    return Caption(_FRAMES[rng.integers(len(_FRAMES))].format(" and ".join(parts)), tuple(claims))
