"""Values that a dtype can't hold become an error of their own image, and never an answer, nor an entry of the cache."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.common.budget import Retention
from services.common.context import Origin
from services.common.errors import FailedPrecondition
from services.encoder import scaling
from services.encoder.app import VisionTowerDeployment
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.job import EncodeJob
from services.encoder.parts import open_tower
from services.encoder.ranking.rank_images import rank_each, rank_images
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.settings import EncoderSettings
from services.encoder.tower import TowerOutput, VisionTower
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import InProcessTower, Tensors, edit_weights, encode_pipeline
from tests.support.pictures import encoded, picture

DATA = encoded(picture(300, 200))
FIELDS = ["features", "cls_attention", "cls", "embedding"]


def overflowing(folder: Path) -> Path:
    def edit(tensors: Tensors) -> None:
        for name in tensors:
            if "vision_tower" in name and "layers.1.mlp.fc2" in name:
                tensors[name] *= 1e6

    edit_weights(folder, edit)
    return folder


@pytest.mark.parametrize("rows", ["auto", "int8"])
@pytest.mark.parametrize("relevance", ["none", "auto"])
async def test_an_overflow_is_told_and_not_cached(folder: Path, tiler: AnyresTiler, rows: str, relevance: str) -> None:
    model = str(overflowing(folder))
    options: Any = {} if relevance == "auto" else {"relevance_model": relevance}
    tower = open_tower(EncoderSettings(model=model, dtype="float16", row_dtype=rows, **options))
    within, store = InProcessTower(tower), MemoryStore(1 << 26, 60)
    pipeline = encode_pipeline(tower, tiler, cache=RankOnceCache(store, tower.encoder_id), tower=within)
    for passes in (1, 2):
        with pytest.raises(FailedPrecondition, match=r"^HEROSERVE_DTYPE: in float16 .* not finite; .* bfloat16"):
            await pipeline.visual_tokens(EncodeJob("0" * 64, DATA, "What?", Retention(0.2), False))
        assert within.calls == passes
    # The same weights in a dtype that holds their values.
    fine = open_tower(EncoderSettings(model=model, dtype="float32", **options))
    tiles = tiler.cut(picture(300, 200), tiler.grid(300, 200))
    assert rank_images(fine.run(tiles), [np.ones((len(tiles), 64), bool)], fine.hero)


@pytest.fixture(scope="module")
def tiles(tiler: AnyresTiler) -> np.ndarray:
    return tiler.cut(picture(300, 200), tiler.grid(300, 200))


def spoilt(output: TowerOutput, field: str, tile: int, value: float) -> TowerOutput:
    """Whose ``tile`` has one value that is not finite, in the last patch where it is of patches."""
    values = getattr(output, field).clone()
    values[{"cls_attention": (0, tile, 0, -1), "features": (tile, -1, -1)}.get(field, (tile, -1))] = value
    return replace(output, **{field: values})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", FIELDS)
def test_only_the_image_itself_suffers(tower: VisionTower, tiles: np.ndarray, field: str, value: float) -> None:
    count = len(tiles)
    output = tower.run(np.concatenate([tiles] * 3))
    masks = [np.ones((count, 64), bool)] * 3
    good = rank_each(output, masks, tower.hero)
    images = rank_each(spoilt(output, field, 2 * count - 1, value), masks, tower.hero)
    assert isinstance(images[1], FailedPrecondition)
    model = (
        "HEROSERVE_RELEVANCE_MODEL: .* relevance model" if field == "embedding" else "HEROSERVE_DTYPE: .* vision tower"
    )
    assert re.match(model, str(images[1]))
    for index in (0, 2):
        assert isinstance(images[index], RankedImage)
        assert np.array_equal(images[index].rows, good[index].rows)
    with pytest.raises(FailedPrecondition, match=r"in float32 .* the weights"):
        rank_images(spoilt(output, field, 2 * count - 1, value), masks, tower.hero)


@pytest.mark.parametrize("field", ["features", "cls_attention"])
def test_what_is_padding_may_be_anything(tower: VisionTower, tiles: np.ndarray, field: str) -> None:
    mask = np.ones((len(tiles), 64), bool)
    mask[-1, -1] = False
    output = tower.run(tiles)
    # The attention is softmaxed once more, over padding too: only what a padded patch itself is, is its own.
    value = float("nan") if field == "features" else 0.0
    assert rank_images(spoilt(output, field, len(tiles) - 1, value), [mask], tower.hero)


async def test_the_deployment_answers_each_request_of_a_batch_for_itself(
    tower: VisionTower, tiles: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment: Any = object.__new__(VisionTowerDeployment)
    deployment._tower, deployment._tiles, deployment._target_tiles = tower, 0, len(tiles)
    run = tower.run
    monkeypatch.setattr(tower, "run", lambda together: spoilt(run(together), "features", 0, float("nan")))
    mask = np.ones((len(tiles), 64), bool)
    answers = iter(deployment._rank([(tiles, mask, Origin("one")), (tiles, mask, Origin("other"))]))

    async def of_a_batch(_: Any) -> Any:
        return next(answers)

    deployment._rank_batch = of_a_batch
    with pytest.raises(FailedPrecondition):
        [_ async for _ in deployment.rank(tiles, mask, Origin("one"))]
    _, (image, seconds) = [message async for message in deployment.rank(tiles, mask, Origin("other"))]
    assert isinstance(image, RankedImage)
    assert set(seconds) == {"tower", "rank"}
    # Nothing waits any more, for what failed neither.
    assert await deployment.record_autoscaling_stats() == {scaling.PASSES: 0}


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_a_projection_of_the_relevance_model_is_that_one_s_fault(folder: Path, tiles: np.ndarray, value: float) -> None:
    def edit(tensors: Tensors) -> None:
        tensors["visual_projection.weight"] *= value

    edit_weights(folder / "clip", edit)
    tower = open_tower(EncoderSettings(model=str(folder)))
    with pytest.raises(FailedPrecondition, match=r"^HEROSERVE_RELEVANCE_MODEL: "):
        rank_images(tower.run(tiles), [np.ones((len(tiles), 64), bool)], tower.hero)
