"""Intervals: by scene, paired, and of the size they should have."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.bootstrap import SceneBootstrap

SCENES, EACH = 300, 6
OF = np.repeat(np.arange(SCENES), EACH)


def width(draw: SceneBootstrap, right: np.ndarray) -> float:
    interval = draw.accuracy(right).interval()
    return float(interval.high - interval.low)


def test_questions_of_one_scene_are_not_independent() -> None:
    """Scenes that are all right or all wrong: six times as many questions say no more."""
    right = np.repeat(np.random.default_rng(0).random(SCENES) < 0.6, EACH)
    by_scene, by_question = width(SceneBootstrap(OF), right), width(SceneBootstrap(np.arange(len(OF))), right)
    assert by_scene / by_question == pytest.approx(np.sqrt(EACH), rel=0.1)
    assert by_scene == pytest.approx(2 * 1.96 * np.sqrt(0.6 * 0.4 / SCENES), rel=0.1)


def test_independent_questions_lose_nothing_by_it() -> None:
    right = np.random.default_rng(1).random(len(OF)) < 0.6
    by_scene, by_question = width(SceneBootstrap(OF), right), width(SceneBootstrap(np.arange(len(OF))), right)
    assert by_scene == pytest.approx(by_question, rel=0.15)


def test_a_difference_is_paired() -> None:
    """One method is the other with one answer in fifty spoilt: far surer than two methods apart."""
    rng = np.random.default_rng(2)
    good = np.repeat(rng.random(SCENES) < 0.6, EACH)
    worse = good & (rng.random(len(good)) > 0.02)
    draw = SceneBootstrap(OF)
    both = draw.accuracy(np.stack([good, worse], axis=1))
    lead = both[0].minus(both[1]).interval()
    assert lead.low > 0
    assert lead.high - lead.low < width(draw, good) / 5
    nothing = both[0].minus(both[0]).interval()
    assert (nothing.low, nothing.mean, nothing.high) == (0, 0, 0)


def test_shapes_subsets_and_seeds() -> None:
    rng = np.random.default_rng(3)
    right = rng.random((len(OF), 2, 3)) < 0.5
    among = rng.random(len(OF)) < 0.3
    accuracy = SceneBootstrap(OF, seed=7).accuracy(right, among)
    assert accuracy.mean == pytest.approx(right[among].mean(axis=0))
    assert accuracy[1].interval().low.shape == (3,)
    again = SceneBootstrap(OF, seed=7).accuracy(right, among)
    assert (accuracy.draws == again.draws).all()
    # A draw takes whole scenes: its accuracy is that of the questions of those scenes, the picked ones.
    assert accuracy.draws.mean(axis=0) == pytest.approx(accuracy.mean, abs=0.005)


def test_order_of_questions_does_not_matter() -> None:
    right = np.random.default_rng(4).random(len(OF)) < 0.5
    shuffle = np.random.default_rng(5).permutation(len(OF))
    one, other = SceneBootstrap(OF).accuracy(right), SceneBootstrap(OF[shuffle]).accuracy(right[shuffle])
    assert one.draws == pytest.approx(other.draws)
