"""Which pixels of an image a visual token shows."""

from __future__ import annotations

from dataclasses import dataclass

from heroserve.errors import ArgumentError
from heroserve.nonsense import check_grid
from heroserve.v1.encoder_pb2 import Grid


@dataclass(frozen=True)
class Box:
    """A rectangle of an upright image, in its pixels: half-open, and seldom whole numbers."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def within(self, other: Box) -> Box:
        """What of it is in the other one; without any width or height where nothing is."""
        left, top = min(max(self.left, other.left), other.right), min(max(self.top, other.top), other.bottom)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box(left, top, max(left, right), max(top, bottom))


class Geometry:
    """From tiles and positions within them to an image's pixels, whatever the model's family does to the image.

    Raises ArgumentError where the encoder is too old to tell, or tells nonsense.

    Args:
        grid: of the image.

    Attributes:
        image: all of the upright image.
        mosaic: all local tiles together; what of it is not in the image is padding. None where there are none.
        padded: whether anything is.
        pitch: width and height of what a token shows: a local one, or the thumbnail's where there are none.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        placed = grid.placement
        self._local = grid.rows * grid.cols > 0
        wide, high = placed.right - placed.left, placed.bottom - placed.top
        sizes = (grid.tile_size, grid.token_size, grid.patches_per_side, grid.image_width, grid.image_height)
        if not all(sizes):
            raise ArgumentError(
                "explanation: its grid has no tile_size, token_size or image size; it is of a service that is too old "
                "to tell which pixels a token shows, or of none"
            )
        if self._local and (wide <= 0 or high <= 0):
            raise ArgumentError(f"explanation: its grid places the image on {wide}x{high} pixels; that is nothing")
        check_grid(grid)
        self.image = Box(0, 0, grid.image_width, grid.image_height)
        if not self._local:
            wide = high = grid.tile_size
        # Pixels of the image a pixel of the mosaic.
        self._scale = grid.image_width / wide, grid.image_height / high
        self.pitch = grid.token_size * self._scale[0], grid.token_size * self._scale[1]
        self.mosaic: Box | None = None
        self.padded = False
        if self._local:
            width, height = grid.cols * grid.tile_size, grid.rows * grid.tile_size
            self.mosaic = self._of_mosaic(0, 0, width, height)
            self.padded = (wide, high) != (width, height)

    def tile(self, index: int) -> Box:
        """What a tile shows, padding and all; the thumbnail, 0, shows the whole image."""
        if not index:
            return self.image
        row, column = self._place(index)
        size = self._grid.tile_size
        return self._of_mosaic(column * size, row * size, (column + 1) * size, (row + 1) * size)

    def token(self, tile: int, position: int) -> Box:
        """What of the image the token in a tile's position shows."""
        side, token, size = self._grid.patches_per_side, self._grid.token_size, self._grid.tile_size
        if not 0 <= position < side * side:
            raise ArgumentError(f"position: is {position}; a tile has {side * side} visual tokens, from 0 on")
        row, column = divmod(position, side)
        left, top = column * token, row * token
        if not tile:
            x, y = self.image.right / size, self.image.bottom / size
            box = Box(left * x, top * y, (left + token) * x, (top + token) * y)
        else:
            of_row, of_column = self._place(tile)
            left, top = left + of_column * size, top + of_row * size
            box = self._of_mosaic(left, top, left + token, top + token)
        return box.within(self.image)

    def _place(self, index: int) -> tuple[int, int]:
        """A local tile's row and column."""
        tiles = self._grid.rows * self._grid.cols
        if not 0 < index <= tiles:
            raise ArgumentError(f"tile: is {index}; the image has {tiles} local tiles, from 1 on, and 0, the thumbnail")
        return divmod(index - 1, self._grid.cols)

    def _of_mosaic(self, left: int, top: int, right: int, bottom: int) -> Box:
        """Pixels of the mosaic to the image's."""
        placed, (x, y) = self._grid.placement, self._scale
        return Box(
            (left - placed.left) * x, (top - placed.top) * y, (right - placed.left) * x, (bottom - placed.top) * y
        )
