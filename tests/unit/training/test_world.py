"""The synthetic world: the same everywhere, and every answer right."""

import itertools

import numpy as np
import pytest

from models.world.captions import describe
from models.world.labels import UNSURE, label_crowd, label_tiles, tile_of
from models.world.questions import KINDS, Question, ask
from models.world.render import render
from models.world.scene import CHARACTERS, COLORS, SHAPES, Scene, Thing, sample_crowd, sample_scene
from models.world.tiles import cut_scene, scene_grid


def test_the_same_index_is_the_same_picture_and_another_split_another() -> None:
    one, again = (render(sample_scene("test", 5)) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    scenes = {sample_scene(split, index) for split in ("train", "validation", "test") for index in range(50)}
    assert len(scenes) == 150


@pytest.mark.parametrize("index", range(30))
def test_objects_are_whole_apart_and_of_distinct_names(index: int) -> None:
    scene = sample_scene("train", index)
    assert len({thing.name for thing in scene.things}) == len(scene.things) >= 3
    for thing in scene.things:
        assert thing.radius <= thing.x <= scene.width - thing.radius
        assert thing.radius <= thing.y <= scene.height - thing.radius
        for other in scene.things:
            if other is not thing:
                assert max(abs(thing.x - other.x), abs(thing.y - other.y)) >= thing.radius + other.radius


@pytest.mark.parametrize("index", range(40))
def test_scenes_fill_whole_tiles_without_scaling(index: int) -> None:
    """What the labels rely on: the anyres grid only pads a scene."""
    scene = sample_scene("train", index)
    grid = scene_grid(scene)
    tiles = cut_scene(scene, grid)
    mosaic = tiles[1:].reshape(grid.rows, grid.cols, 3, 112, 112).transpose(0, 3, 1, 4, 2)
    mosaic = mosaic.reshape(grid.rows * 112, grid.cols * 112, 3)
    top, left = (grid.rows * 112 - scene.height) // 2, (grid.cols * 112 - scene.width) // 2
    np.testing.assert_array_equal(mosaic[top : top + scene.height, left : left + scene.width], render(scene))


def _answer(question: Question, scene: Scene) -> str:
    """Read the question's words as a person would and look the answer up among the objects."""
    words = question.text.rstrip("?").split()
    named = {thing.name: thing for thing in scene.things}
    pairs = [f"{a} {b}" for a, b in itertools.pairwise(words)]
    if question.kind in ("character", "pair"):
        return " ".join(named[pair].character for pair in pairs if pair in named)
    if question.kind == "exists":
        return "yes" if pairs[-1] in named else "no"
    if question.kind == "count":
        return str(sum(words[2] in (thing.color, thing.shape) for thing in scene.things))
    field, other = ("color", "shape") if question.kind == "color" else ("shape", "color")
    (found,) = [t for t in scene.things if getattr(t, other) == words[4] and t.character == words[-1]]
    return str(getattr(found, field))


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_right(kind: str) -> None:
    answers = []
    for index in range(150):
        scene = sample_scene("validation", index)
        rng = np.random.default_rng(index)
        question = ask(kind, scene, scene_grid(scene), rng)
        if question is None:
            continue
        assert question.answer == _answer(question, scene), question
        answers.append(question.answer)
    assert len(answers) > 100
    most = max(answers.count(answer) for answer in set(answers)) / len(answers)
    assert most < 0.62, f"saying one thing always is right {most:.0%} of the time"


def test_pairs_lie_in_two_tiles() -> None:
    for index in range(60):
        scene = sample_scene("train", index)
        grid = scene_grid(scene)
        question = ask("pair", scene, grid, np.random.default_rng(index))
        if question is not None:
            one, other = question.targets
            assert tile_of(scene, grid, one) != tile_of(scene, grid, other)


def test_labels_name_what_the_pixels_show() -> None:
    """A patch labelled with a colour is nearer to that colour than ground is, in the very tile it names."""
    rgb = {"red": (214, 40, 40), "blue": (40, 84, 214), "green": (44, 160, 64), "yellow": (240, 214, 50)}
    checked = 0
    for index in range(20):
        scene = sample_scene("train", index)
        grid = scene_grid(scene)
        tiles, labels = cut_scene(scene, grid), label_tiles(scene, grid)
        for name, color in rgb.items():
            tile, patch = np.nonzero(labels.center * (labels.color == COLORS.index(name) + 1))
            for t, p in zip(tile, patch, strict=True):
                row, col = divmod(int(p), 8)
                pixels = tiles[t, :, 14 * row : 14 * row + 14, 14 * col : 14 * col + 14].reshape(3, -1).T
                distance = np.abs(pixels.astype(int) - color).max(axis=1)
                assert (distance < 60).mean() > 0.08, (index, name, t, p)
                checked += 1
    assert checked > 20


def test_a_cut_character_is_not_asked_of_a_patch() -> None:
    edge = Thing("red", "circle", "7", x=3, y=56, radius=14, turn=0)
    inside = Thing("blue", "square", "A", x=70, y=56, radius=14, turn=0)
    labels = label_crowd(Scene(112, 112, (edge, inside), ground=1))
    assert CHARACTERS.index("7") + 1 not in labels.character
    assert CHARACTERS.index("A") + 1 in labels.character
    assert SHAPES.index("square") + 1 in labels.shape
    assert (labels.character[labels.color == COLORS.index("red") + 1] == UNSURE).all()


def test_captions_hold_for_what_they_describe_and_not_for_others() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for index in range(40):
        things = list(sample_crowd(index).things)
        caption = describe(things, rng, legible=True)
        assert caption.holds(things)
        wrong += caption.holds(list(sample_crowd(index + 100).things))
    assert wrong < 10
