"""The second world: the same everywhere, drawn by code of its own, and its places are those of the finished picture."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import models.elsewhere
from benchmarks.accuracy.dataset import picture
from models.elsewhere.backdrops import PHOTOGRAPHS
from models.elsewhere.draw import draw
from models.elsewhere.sample import FACES, WAYS, Sample, sample
from models.world import look
from models.world.labels import tile_of
from models.world.page import Page
from models.world.scene import TILE, Scene
from models.world.tiles import scene_grid

SCENES = [s for s in map(sample, range(30)) if isinstance(s.content, Scene)]
PAGES = [s for s in map(sample, range(30)) if isinstance(s.content, Page)]
# Hue of each colour in Pillow's 0..255, by eye: not the drawing's own table.
HUES = {"red": 250, "green": 92, "blue": 158, "yellow": 37, "purple": 203, "orange": 20}


@pytest.mark.parametrize("index", range(len(WAYS)))
def test_the_same_index_is_the_same_picture(index: int) -> None:
    assert sample(index) == sample(index)
    assert sample(index).way == WAYS[index]
    np.testing.assert_array_equal(draw(sample(index)), draw(sample(index)))
    assert sample(index).content != sample(index + len(WAYS)).content


def test_it_shares_no_code_that_draws_and_no_face_with_what_is_trained_on() -> None:
    assert not set(FACES) & set(look.FACES)
    drawing = {f"models.world.{name}" for name in ("render", "print", "look", "tiles")}
    for file in Path(models.elsewhere.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in drawing, file
                names = {alias.name for alias in node.names}
                assert not names & {"sample_scene", "sample_page", "sample_slip", "sample_crowd"}, file
    for file in Path("models/training").glob("*.py"):
        assert "elsewhere" not in file.read_text(encoding="utf-8"), file


def test_it_is_for_tests_alone() -> None:
    with pytest.raises(ValueError, match="no validation split"):
        picture("validation", 0, "second")


@pytest.mark.parametrize("which", SCENES, ids=lambda s: s.way)
def test_objects_are_whole_apart_and_of_distinct_names(which: Sample) -> None:
    scene = which.content
    assert isinstance(scene, Scene)
    assert len({thing.name for thing in scene.things}) == len(scene.things) >= 2
    for one, other in itertools.combinations(scene.things, 2):
        assert max(abs(one.x - other.x), abs(one.y - other.y)) >= one.radius + other.radius
    for thing in scene.things:
        assert thing.radius <= thing.x <= scene.width - thing.radius
        assert thing.radius <= thing.y <= scene.height - thing.radius


def test_objects_are_where_their_places_say_after_turning() -> None:
    """Around each place most of what is not ink has the object's hue: also where turning moved it by a tile's tenth."""
    seen = {way: [0, 0] for way in WAYS}
    for which in SCENES:
        hsv = np.asarray(Image.fromarray(draw(which)).convert("HSV")).astype(int)
        assert isinstance(which.content, Scene)
        for thing in which.content.things:
            if thing.color in HUES:
                reach = thing.radius // 2
                part = hsv[thing.y - reach : thing.y + reach, thing.x - reach : thing.x + reach].reshape(-1, 3)
                coloured = part[part[:, 1] > 90, 0]
                off = np.abs((coloured - HUES[thing.color] + 128) % 256 - 128)
                seen[which.way][0] += bool(len(coloured) > 0.3 * len(part) and (off < 12).mean() > 0.8)
                seen[which.way][1] += 1
    for way in WAYS[:-1]:
        right, count = seen[way]
        assert count >= 10, way
        assert right >= 0.95 * count, (way, right, count)


@pytest.mark.parametrize("which", PAGES, ids=lambda s: s.face)
def test_lines_are_printed_where_their_places_say_each_in_one_tile(which: Sample) -> None:
    page = which.content
    assert isinstance(page, Page)
    grey = np.asarray(Image.fromarray(draw(which)).convert("L")).astype(int)
    dark = grey < np.median(grey) - 60
    everywhere = np.zeros_like(dark)
    for line in page.lines:
        box = np.s_[line.y - 9 : line.y + 10, max(line.x - 50, 0) : line.x + 50]
        assert dark[box].sum() > 25, line
        everywhere[line.y - 13 : line.y + 14] = True
        tile = (tile_of(page, scene_grid(page), line) - 1) % (page.width // TILE)
        # No ink of it across its tile's sides.
        across = np.flatnonzero(dark[line.y - 9 : line.y + 10].any(axis=0)) // TILE
        assert tile in across
        for edge in range(TILE, page.width, TILE):
            assert not dark[line.y - 9 : line.y + 10, edge - 1 : edge + 1].any()
    assert dark[~everywhere].sum() < 0.02 * dark.sum()
    assert len({line.key for line in page.lines}) == len({line.code for line in page.lines}) == len(page.lines)


def test_photographs_come_without_a_network() -> None:
    from models.elsewhere import backdrops

    for name in (*PHOTOGRAPHS, *backdrops.SURFACES):
        assert min(backdrops._read(name).size) >= 300


def test_every_way_is_asked_about_and_says_which_it_is() -> None:
    found = [picture("test", index, "second") for index in range(len(WAYS))]
    assert [each.way for each in found] == list(WAYS)
    kinds = {question.kind for question in found[-1].questions}
    assert kinds == {"code", "key", "line"}
    assert {question.kind for question in found[0].questions} >= {"character", "exists", "count"}
    only = found[-1].only(["key"])
    assert [question.kind for question in only.questions] == ["key"]
    asked = dict(zip((question.kind for question in found[-1].questions), found[-1].tiles_asked, strict=True))
    assert only.tiles_asked == (asked["key"],)
