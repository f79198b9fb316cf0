"""The requests that are counted."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis

from models.world.render import as_png, render
from models.world.scene import TILE, sample_crowd
from scripts.redis_server import RedisServer, free_port
from scripts.stack import ROOT
from services.common.budget import Retention
from services.llm.job import ChatJob, ImagePart, Sampling, Turn

from .compare import Costs
from .pipeline import both
from .tally import Tally, operators, redis_bytes, round_trips

MODEL = ROOT / "models/heroserve-tiny"
_QUESTION = "is there a red star?"
_BUDGET = Retention(0.2)
_WARM = "one to begin with"
# Of as many tokens as are asked for, whatever the model says.
_SAMPLING = Sampling(max_tokens=2, ignore_eos=True)


async def measure() -> Costs:
    """Each request once, after one that opened every connection.

    Its counts are those of the bundled model and its pictures: a tile has 64 patches of 128 values in float32.
    """
    costs: Costs = {}
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(free_port(), Path(folder))
        server.start()
        try:
            with redis.Redis.from_url(server.url) as client:
                async with both(str(MODEL), str(MODEL / "clip"), server.url) as two:
                    for name, job in _requests():
                        two.tally = Tally()
                        before = client.info("stats")
                        with round_trips(two.tally), operators(two.tally):
                            await two.ask(job)
                        costs[name] = two.tally.counts | redis_bytes(before, client.info("stats"))
        finally:
            server.stop()
    costs.pop(_WARM)
    return costs


def _requests() -> Iterator[tuple[str, ChatJob]]:
    *warm, first, second = (_picture(index) for index in range(4))
    known = ImagePart(digest=hashlib.sha256(first).hexdigest())
    # Two at once, for which connections are opened that stay.
    yield _WARM, _beside(*(ImagePart(picture) for picture in warm))
    yield "a new picture", _job(ImagePart(first))
    yield "another question about it", _job(ImagePart(first), "how many red things are there?")
    yield "by its digest", _job(known)
    yield "with all of its tokens", _job(known, budget=Retention(1.0))
    turns = (Turn("user", (known, _QUESTION)), Turn("assistant", ("yes",)), Turn("user", ("and a blue circle?",)))
    yield "a second turn about it", ChatJob(turns, _BUDGET, _SAMPLING)
    yield "beside a new one", _beside(known, ImagePart(second))


def _beside(one: ImagePart, other: ImagePart) -> ChatJob:
    return ChatJob((Turn("user", (one, other, _QUESTION)),), _BUDGET, _SAMPLING)


def _job(image: ImagePart, question: str = _QUESTION, budget: Retention = _BUDGET) -> ChatJob:
    return ChatJob((Turn("user", (image, question)),), budget, _SAMPLING)


def _picture(index: int) -> bytes:
    """Of two by two tiles, so that each is as dear as the others."""
    return as_png(render(sample_crowd(index, 2 * TILE, 2 * TILE)))
