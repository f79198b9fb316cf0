"""The models in the box: small enough for it, whole, and able to answer what their cards say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from scripts.explained import QUESTION, SCENE, explain
from services.common.checkpoint import Checkpoint
from services.llm.card import examples

ROOT = Path(__file__).resolve().parents[3]
MODELS = sorted(path.parent for path in (ROOT / "models").glob("*/config.json"))


@pytest.fixture(params=MODELS, ids=lambda path: path.name)
def model(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_one_of_each_family():
    assert [model.name for model in MODELS] == ["heroserve-tiny", "internvl-tiny"]


def test_it_is_small_and_says_what_it_can_be_asked(model: Path):
    assert sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) < 40 << 20
    asked = examples(Checkpoint(str(model), "HEROSERVE_MODEL"))
    assert asked[0] == QUESTION
    assert sum("code" in question for question in asked) == 2


def test_a_fifth_of_its_tokens_are_enough_for_the_demo(model: Path):
    answer, kept = asyncio.run(explain(SCENE.read_bytes(), QUESTION, 0.2, str(model)))
    # The question names the star: of its tile most is kept, of others little.
    *others, star = sorted(len(tile.positions) for tile in kept.tiles)
    assert star > 2 * others[-1]
    assert answer.strip() == "T"
