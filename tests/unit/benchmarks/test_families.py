"""What the accuracy benchmark does with a family that stretches pictures, merges patches and reads no newlines."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy.bench import Bench, has_newlines, served_config
from benchmarks.accuracy.choose import trials
from benchmarks.accuracy.dataset import picture
from benchmarks.accuracy.evaluate import evaluate_pictures
from benchmarks.accuracy.methods import EVERY_ROW, FIXED, methods
from models.untrained_internvl import build


@pytest.fixture(scope="module")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("internvl")
    build(folder, 0)
    return folder


def test_every_rule_spends_the_same_on_an_internvl(internvl: Path) -> None:
    model = str(internvl)
    bench, lines = Bench(model), methods(served_config(model), newlines=has_newlines(model))
    assert EVERY_ROW not in {line.name for line in lines}
    scene = picture("test", 3, tiler=bench.tiler)
    # Tokens of 2 x 2 patches: 16 a tile, no padding.
    assert scene.grid.valid().all()
    assert scene.grid.tile_tokens == 16
    outcome = evaluate_pictures(bench, [scene], lines, (1.0, 0.25))
    assert not outcome.newlines.any()
    total = len(scene.tiles) * 16
    for index, line in enumerate(lines):
        if line.name not in (*FIXED, "reference"):
            assert set(outcome.kept[:, index, 0]) == {total}, line.name
            assert set(outcome.kept[:, index, 1]) == {total // 4}, line.name


def test_questions_and_what_they_are_about_are_the_same(internvl: Path, untrained: str) -> None:
    """In other tiles: a scene that others pad is stretched."""
    bench = Bench(str(internvl))
    moved = 0
    for index in range(40):
        one, other = picture("test", index), picture("test", index, tiler=bench.tiler)
        assert one.questions == other.questions
        for asked in other.tiles_asked:
            assert all(0 <= tile < len(other.tiles) - 1 for tile in asked)
        moved += one.tiles_asked != other.tiles_asked
    assert 0 < moved < 20
    assert has_newlines(untrained)
    assert not has_newlines(str(internvl))


def test_layers_are_tried_on_a_tower_of_any_depth(internvl: Path) -> None:
    tried = trials(served_config(str(internvl)), 4, newlines=False)
    assert {trial.factor for trial in tried} >= {"low layers", "high layers"}
    assert "newlines" not in {trial.factor for trial in tried}
