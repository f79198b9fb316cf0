"""Captions of tiles, for the contrastive loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scene import Thing

_FRAMES = ("{}", "a picture of {}", "there is {} here", "{} on the ground", "this shows {}", "look at {}")


@dataclass(frozen=True)
class Caption:
    """A text about some objects, and what a picture must show for it to hold."""

    text: str
    claims: tuple[tuple[str | None, str | None, str | None], ...]

    def holds(self, things: list[Thing]) -> bool:
        return all(
            any(
                color in (None, thing.color) and shape in (None, thing.shape) and character in (None, thing.character)
                for thing in things
            )
            for color, shape, character in self.claims
        )


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
