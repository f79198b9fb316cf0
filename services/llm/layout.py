"""In which order an image's visual tokens are read: as in the picture, or what no question changes first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from services.families.family import NEWLINE, Splice
from services.families.grid import Grid, Newlines

Positions = np.ndarray[Any, np.dtype[np.int64]]
# ``LanguageHalf.splice``.
SpliceImage = Callable[[Grid, Sequence[Positions], Newlines], Splice]


class LayOut(Protocol):
    """Orders an image's visual tokens."""

    def __call__(
        self,
        splice: SpliceImage,
        grid: Grid,
        kept: Sequence[Positions],
        base: Sequence[Positions],
        newlines: Newlines,
    ) -> Splice:
        """See ``LanguageHalf.splice``; ``base`` is of what is kept that no question changes."""
        ...


def raster(
    splice: SpliceImage, grid: Grid, kept: Sequence[Positions], base: Sequence[Positions], newlines: Newlines
) -> Splice:
    """As the checkpoint's family does."""
    return splice(grid, kept, newlines)


def base_first(
    splice: SpliceImage, grid: Grid, kept: Sequence[Positions], base: Sequence[Positions], newlines: Newlines
) -> Splice:
    """The base as the family orders it, as if nothing else had been kept, and behind it the rest likewise.

    Whatever is asked about an image under one budget then begins alike, and an engine that keeps what it has read of
    a prompt reads only the rest anew. Rows of the picture that are in both have a newline in both.
    """
    in_base = [np.isin(each, first) for each, first in zip(kept, base, strict=True)]
    if all(map(np.all, in_base)):
        return splice(grid, kept, newlines)
    starts = np.cumsum([0, *map(len, kept[:-1])])

    def part(chosen: Sequence[np.ndarray[Any, np.dtype[np.bool_]]], newlines: Newlines) -> Splice:
        """Of some of what is kept, by the rows that it has among all of it."""
        some = splice(grid, [each[mask] for each, mask in zip(kept, chosen, strict=True)], newlines)
        rows = np.concatenate([start + np.flatnonzero(mask) for start, mask in zip(starts, chosen, strict=True)])
        # NEWLINE is -1, which finds what stands last.
        return Splice(np.append(rows, NEWLINE)[some.source], some.position, some.full_length)

    first = part(in_base, newlines)
    rest = part([~each for each in in_base], "kept_rows")
    return Splice(
        source=np.concatenate([first.source, rest.source]),
        position=np.concatenate([first.position, rest.position]),
        full_length=first.full_length,
    )


# By HEROSERVE_LAYOUT.
LAYOUTS: dict[str, LayOut] = {"raster": raster, "base_first": base_first}
