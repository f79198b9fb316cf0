"""Rows in a byte a value: smaller, close, told apart, and read back by the LLM service."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heroserve.v1.encoder_pb2 import Features, VisualTokens
from services.common.budget import Retention
from services.common.errors import InvalidArgument
from services.common.rows import from_wire, pack, unpack
from services.encoder.chunks import chunks
from services.encoder.job import EncodeJob
from services.encoder.parts import open_tower
from services.encoder.pipeline import EncodePipeline, Mask, Tiles
from services.encoder.ranking.rank_images import rank_images
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.settings import EncoderSettings
from services.encoder.tower import VisionTower
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import encode_pipeline
from tests.support.pictures import encoded, picture

DATA = encoded(picture(300, 200))


def read_back(rows: np.ndarray, cols: int) -> torch.Tensor:
    return unpack(rows.tobytes(), "int8", len(rows), cols)


@given(st.integers(0, 2**32 - 1), st.floats(-30, 30), st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_every_value_is_within_half_a_scale(seed: int, magnitude: float, dtype: torch.dtype):
    values = torch.randn(5, 33, generator=torch.Generator().manual_seed(seed)) * 2.0 ** min(magnitude, 8)
    values = values.to(dtype)
    back = read_back(pack(values, "int8"), 33)
    scale = values.float().abs().amax(dim=1, keepdim=True) / 127
    assert bool(((back - values.float()).abs() <= scale * 0.5001).all())


def test_each_row_has_its_own_scale_and_zeros_stay():
    values = torch.stack([torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16) * 1e-4, torch.zeros(16)])
    back = read_back(pack(values, "int8"), 16)
    torch.testing.assert_close(back[1] * 1e4, back[0], rtol=1e-5, atol=1e-7)
    assert back[2].eq(0).all()


def test_a_wrong_number_of_bytes_is_told():
    rows = pack(torch.randn(3, 16), "int8")
    with pytest.raises(ValueError, match="59 bytes in place of 60"):
        unpack(rows.tobytes()[:-1], "int8", 3, 16)


def pipeline(tower: VisionTower, tiler: AnyresTiler) -> EncodePipeline:
    async def rank(tiles: Tiles, mask: Mask) -> tuple[RankedImage, dict[str, float]]:
        return rank_images(tower.run(tiles), [mask], tower.hero, tower.row_dtype)[0], {}

    return encode_pipeline(tower, tiler, tower=rank)


async def test_through_the_pipeline(untrained: str, tower: VisionTower, tiler: AnyresTiler):
    small = open_tower(EncoderSettings(model=untrained, row_dtype="int8"))
    assert small.encoder_id != tower.encoder_id
    job = EncodeJob(hashlib.sha256(DATA).hexdigest(), DATA, "What?", Retention(0.5), False)
    exact = await pipeline(tower, tiler).visual_tokens(job)
    service = pipeline(small, tiler)
    miss, hit = await service.visual_tokens(job), await service.visual_tokens(job)
    assert (miss.cache, hit.cache) == (VisualTokens.MISS, VisualTokens.HIT)
    assert miss.features == hit.features
    assert [list(tile.positions) for tile in miss.tiles] == [list(tile.positions) for tile in exact.tiles]
    assert len(miss.features.data) * 4 == len(exact.features.data) + miss.features.rows * 16
    one, other = (unpack(f.data, from_wire(f.dtype), f.rows, f.cols) for f in (miss.features, exact.features))
    assert torch.nn.functional.cosine_similarity(one, other, dim=1).min() > 0.999


async def test_who_asks_for_fewer_bytes_gets_the_same_rows_rounded(tower: VisionTower, tiler: AnyresTiler):
    """Cached is what the tower made, whatever was asked for first."""
    service = pipeline(tower, tiler)
    job = EncodeJob(hashlib.sha256(DATA).hexdigest(), DATA, "What?", Retention(0.5), False)
    small = await service.visual_tokens(replace(job, rows="int8"))
    exact = await service.visual_tokens(job)
    assert (small.cache, exact.cache) == (VisualTokens.MISS, VisualTokens.HIT)
    assert exact.features == (await pipeline(tower, tiler).visual_tokens(job)).features
    assert (small.encoder_id, small.tiles, small.savings) == (exact.encoder_id, exact.tiles, exact.savings)
    wanted = pack(unpack(exact.features.data, "float32", exact.features.rows, exact.features.cols), "int8")
    assert (small.features.dtype, small.features.data) == (Features.INT8, wanted.tobytes())
    halves = await service.visual_tokens(replace(job, rows="bfloat16"))
    assert (halves.features.dtype, 2 * len(halves.features.data)) == (Features.BFLOAT16, len(exact.features.data))
    plan = await service.visual_tokens(replace(job, rows="int8", plan_only=True))
    assert (plan.features.rows, plan.features.data) == (0, b"")


async def test_what_no_message_holds_is_streamed_or_asked_for_in_fewer_bytes(
    tower: VisionTower, tiler: AnyresTiler, monkeypatch: pytest.MonkeyPatch
):
    service = pipeline(tower, tiler)
    job = EncodeJob(hashlib.sha256(DATA).hexdigest(), DATA, "What?", Retention(1.0), False)
    whole = await service.visual_tokens(job)
    row = tower.feature_width * 4
    monkeypatch.setattr("services.encoder.plan._MAX_ROW_BYTES", (whole.features.rows - 1) * row)
    with pytest.raises(InvalidArgument, match=rf"^budget: keeps {whole.features.rows} visual tokens of {row} bytes"):
        await service.visual_tokens(job)
    with pytest.raises(InvalidArgument, match=r"int8 rows .* or call EncodeStream$"):
        await service.visual_tokens(replace(job, rows="float32"))
    assert (await service.visual_tokens(replace(job, rows="int8"))).features.rows == whole.features.rows
    streamed = list(chunks(await service.visual_tokens(replace(job, streamed=True))))
    assert b"".join(piece.data for piece in streamed) == whole.features.data
