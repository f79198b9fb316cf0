"""Callers of another scope get no answer about a picture that they don't have, and can't tell that somebody has it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest

from heroserve.v1.encoder_pb2 import EncodeRequest, VisualTokens
from heroserve.v1.tokens_pb2 import Image
from services.common.budget import Retention
from services.common.errors import NotFound
from services.encoder.images.decode import ImageLimits
from services.encoder.job import EncodeJob
from services.encoder.pipeline import EncodePipeline
from services.encoder.request import parse_request
from services.encoder.tower import VisionTower
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import InProcessTower, encode_pipeline
from tests.support.pictures import encoded, picture

DATA = encoded(picture(300, 200))
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def slow(tower: VisionTower) -> InProcessTower:
    return InProcessTower(tower)


@pytest.fixture
def pipeline(tower: VisionTower, tiler: AnyresTiler, slow: InProcessTower) -> EncodePipeline:
    return encode_pipeline(tower, tiler, tower=slow)


def job(scope: str, *, data: bytes | None = DATA) -> EncodeJob:
    return EncodeJob(DIGEST, data, "What?", Retention(0.3), False, scope)


async def test_a_digest_is_known_in_its_scope_alone(pipeline: EncodePipeline, slow: InProcessTower) -> None:
    first = await pipeline.visual_tokens(job("a"))
    for stranger in ("b", ""):
        with pytest.raises(NotFound):
            await pipeline.visual_tokens(job(stranger, data=None))
    assert (await pipeline.visual_tokens(job("a", data=None))).cache == VisualTokens.HIT
    # Who has the picture is answered as if nobody had asked before.
    other = await pipeline.visual_tokens(job("b"))
    assert other.cache == first.cache == VisualTokens.MISS
    assert other.features == first.features
    assert slow.calls == 2
    assert (await pipeline.visual_tokens(job("b", data=None))).cache == VisualTokens.HIT


async def test_nobody_waits_for_the_flight_of_another_scope(pipeline: EncodePipeline, slow: InProcessTower) -> None:
    slow.gate = asyncio.Event()
    asked = [asyncio.create_task(pipeline.visual_tokens(job(scope))) for scope in ("a", "a", "b")]
    for _ in range(2):
        await asyncio.wait_for(slow.begun.acquire(), 60)
    slow.gate.set()
    answers = await asyncio.gather(*asked)
    assert slow.calls == 2
    assert [answer.cache for answer in answers] == [VisualTokens.MISS] * 3
    assert all(answer.features == answers[0].features for answer in answers)


def test_a_request_is_its_callers() -> None:
    request = EncodeRequest(image=Image(data=DATA), question="What?")
    limits = ImageLimits(10**7, 10**7)
    assert parse_request(request, limits, Retention(0.3)).name == DIGEST
    scoped = parse_request(request, limits, Retention(0.3), "abc")
    assert scoped.name == f"abc:{DIGEST}"
    assert scoped == replace(parse_request(request, limits, Retention(0.3)), scope="abc")
