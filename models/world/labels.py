"""What each patch of a scene's tiles shows: targets of the dense losses, and the oracle of the first lessons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.families.grid import Grid, Placement

from .page import KEYS, Line, Page
from .scene import CHARACTERS, COLORS, SHAPES, TILE, Scene, Thing

SIDE = 8
PATCH = TILE // SIDE
# Target of a patch that shows too little to tell; cross entropy leaves it out.
UNSURE = -100
# A patch shows an object from this share of its area on, and ground up to the other.
_SHOWS, _GROUND = 0.3, 0.08
# Of the cell of a code's character.
_INKED = 0.35
# Of its size, that a character is read at.
_LEGIBLE = 0.9


@dataclass(frozen=True)
class PatchLabels:
    """int64 [T, N] each: 0 is ground, i + 1 the i-th of its kind, ``UNSURE`` neither; ``center`` is 0 or 1.

    Every patch of a page's line is to tell its label (``key``) and its code's characters (``first``, ``second``), not
    only those that lie on them.
    """

    color: NDArray[np.int64]
    shape: NDArray[np.int64]
    character: NDArray[np.int64]
    center: NDArray[np.int64]
    key: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]


@dataclass(frozen=True)
class _View:
    """A tile: where its origin lies in the scene, in pixels, and how much larger it shows it."""

    x: float
    y: float
    scale_x: float = 1.0
    scale_y: float = 1.0

    @property
    def legible(self) -> bool:
        return min(self.scale_x, self.scale_y) >= _LEGIBLE


def label_tiles(scene: Scene | Page, grid: Grid, place: Placement | None = None) -> PatchLabels:
    """The thumbnail's patches and each local tile's.

    Args:
        scene: what is shown.
        grid: how it is cut.
        place: where it lies on its tiles; by default it is not scaled to fill its grid, only padded.
    """
    place = place or padded(scene, grid)
    across, down = _scale(scene, place)
    views = [_View(0, 0, TILE / scene.width, TILE / scene.height)]
    views += [
        _View((col * TILE - place.left) / across, (row * TILE - place.top) / down, across, down)
        for row in range(grid.rows)
        for col in range(grid.cols)
    ]
    return _stack([_label_any(scene, view) for view in views])


def label_crowd(scene: Scene | Page) -> PatchLabels:
    """The one tile that a crowd or a slip is."""
    return _stack([_label_any(scene, _View(0, 0))])


def visible_things(scene: Scene, grid: Grid, tile: int, place: Placement | None = None) -> list[Thing]:
    """Objects whose centre lies in a local tile (from 1), or all of them for the thumbnail (0)."""
    if tile == 0:
        return list(scene.things)
    return [thing for thing in scene.things if tile_of(scene, grid, thing, place) == tile]


def visible_lines(page: Page, grid: Grid, tile: int, place: Placement | None = None) -> list[Line]:
    """Lines in a local tile (from 1), or all of them for the thumbnail (0)."""
    return [line for line in page.lines if tile in (0, tile_of(page, grid, line, place))]


def tile_of(scene: Scene | Page, grid: Grid, thing: Thing | Line, place: Placement | None = None) -> int:
    """The local tile, from 1, that holds the middle of an object or line; see ``label_tiles``."""
    place = place or padded(scene, grid)
    across, down = _scale(scene, place)
    row, col = ((thing.y * down + place.top) // place.tile_size, (thing.x * across + place.left) // place.tile_size)
    return 1 + int(row) * grid.cols + int(col)


def padded(scene: Scene | Page, grid: Grid) -> Placement:
    """A scene as large as it is, in the middle of its grid."""
    left, top = (grid.cols * TILE - scene.width) // 2, (grid.rows * TILE - scene.height) // 2
    return Placement(TILE, PATCH, top, top + scene.height, left, left + scene.width)


def _scale(scene: Scene | Page, place: Placement) -> tuple[float, float]:
    """How much larger tiles show it, across and down."""
    return (place.right - place.left) / scene.width, (place.bottom - place.top) / scene.height


def _stack(tiles: list[NDArray[np.int64]]) -> PatchLabels:
    return PatchLabels(*np.stack(tiles, axis=1))


def _label_any(scene: Scene | Page, view: _View) -> NDArray[np.int64]:
    """int64 [7, N]: a scene has no lines, and a page no objects."""
    blank = np.zeros((3, SIDE * SIDE), np.int64)
    if isinstance(scene, Page):
        character, center, *line = _label_lines(scene, view)
        return np.stack([*blank[:2], character, center, *line])
    return np.concatenate([_label(scene, view), blank])


def _label_lines(page: Page, view: _View) -> NDArray[np.int64]:
    """int64 [5, N]: character, center, key, first, second."""
    character, center, key, first, second = out = np.zeros((5, SIDE, SIDE), np.int64)
    most = np.zeros((SIDE, SIDE))
    legible = view.legible
    for line in page.lines:
        x, y = (line.x - view.x) * view.scale_x, (line.y - view.y) * view.scale_y
        down = _overlap(y, 0.45 * line.size * view.scale_y)
        share = np.outer(down, _overlap(x, (line.x - line.left) * view.scale_x))
        if share.max() <= 0:
            continue
        row, col = int(y // PATCH), int(x // PATCH)
        shows = share >= _SHOWS
        if 0 <= row < SIDE and 0 <= col < SIDE:
            shows[row, col] = True
            center[row, col] = 1
        wins = shows & (share > most)
        most = np.maximum(most, np.where(shows, share, 0))
        codes = [KEYS.index(line.key) + 1, *(CHARACTERS.index(letter) + 1 for letter in line.code)]
        for grid, target in zip((key, first, second), codes, strict=True):
            grid[~shows & (share > _GROUND) & (grid == 0)] = UNSURE
            grid[wins] = target if legible else UNSURE
        for letter, at in line.letters[-len(line.code) :] if legible else ():
            inked = np.outer(down, _overlap((at - view.x) * view.scale_x, view.scale_x * PATCH / 2))
            character[(inked > _GROUND) & (character == 0)] = UNSURE
            character[inked > _INKED] = CHARACTERS.index(letter) + 1
        if not legible:
            character[share > _GROUND] = UNSURE
    return out.reshape(5, -1)


def _label(scene: Scene, view: _View) -> NDArray[np.int64]:
    """int64 [4, N]."""
    color, shape, character, center = (np.zeros((SIDE, SIDE), np.int64) for _ in range(4))
    most = np.zeros((SIDE, SIDE))
    for thing in scene.things:
        x, y = (thing.x - view.x) * view.scale_x, (thing.y - view.y) * view.scale_y
        reach_x, reach_y = 0.95 * thing.radius * view.scale_x, 0.95 * thing.radius * view.scale_y
        across, down = _overlap(x, reach_x), _overlap(y, reach_y)
        share = np.outer(down, across)
        if share.max() <= 0:
            continue
        seen = share.sum() * PATCH**2 / (4 * reach_x * reach_y)
        shows = share >= _SHOWS
        row, col = int(y // PATCH), int(x // PATCH)
        if 0 <= row < SIDE and 0 <= col < SIDE:
            shows[row, col] = True
            center[row, col] = 1
        wins = shows & (share > most)
        most = np.maximum(most, np.where(shows, share, 0))
        unsure = ~shows & (share > _GROUND) & (color == 0)
        inked = _overlap(x, 0.55 * reach_x).sum() * _overlap(y, 0.6 * reach_y).sum() * PATCH**2
        legible = view.legible and inked >= 0.9 * 4 * 0.55 * 0.6 * reach_x * reach_y
        for grid, target in (
            (color, COLORS.index(thing.color) + 1 if seen > 0.2 else UNSURE),
            (shape, SHAPES.index(thing.shape) + 1 if seen > 0.6 else UNSURE),
            (character, CHARACTERS.index(thing.character) + 1 if legible else UNSURE),
        ):
            grid[wins] = target
            grid[unsure] = UNSURE
    return np.stack([grid.reshape(-1) for grid in (color, shape, character, center)])


def _overlap(middle: float, reach: float) -> NDArray[np.float64]:
    """Share of each patch's side that an interval covers, [SIDE]."""
    edges = np.arange(SIDE + 1) * PATCH
    low, high = np.maximum(edges[:-1], middle - reach), np.minimum(edges[1:], middle + reach)
    covered: NDArray[np.float64] = np.clip(high - low, 0, None) / PATCH
    return covered
