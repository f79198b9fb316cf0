"""A grid that explanations of tests are about."""

from __future__ import annotations

from heroserve.v1.encoder_pb2 import Grid, Window

# Of an image of 100x50 pixels, two tiles side by side.
GRID = Grid(
    rows=1,
    cols=2,
    patches_per_side=4,
    image_width=100,
    image_height=50,
    window=Window(top=0, bottom=4, left=0, right=8),
    tile_size=56,
    token_size=14,
    placement=Window(top=0, bottom=56, left=0, right=112),
)
