"""What grows, one piece each: what is measured at each place of it, and with how many requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from benchmarks.growth.callers import Callers
from benchmarks.growth.gauge import Ask, Gauge
from benchmarks.growth.kinds import ANSWERS, ANSWERS_KNOWN, ECHOED, GRIDS, KNOWN, NEW, TALKED_ABOUT
from benchmarks.growth.point import Point
from benchmarks.growth.service import Service

_FLIGHT = (1, 2, 4, 8, 16, 32, 64)
_QUESTIONS = (1, 2, 5, 10, 20)
_REPLICAS = (1, 2, 4)
# Users who come at once where that does not grow.
_WIDTH, _TALKERS = 16, 4

Points = AsyncIterator[Point]


@dataclass(frozen=True)
class Piece:
    """Args:
    grows: what x is.
    cpus: cores that a model replica computes with.
    run: one round of it.
    """

    grows: str
    cpus: int
    run: Callable[[Service, Callers, Gauge], Points]


async def tiles(service: Service, callers: Callers, gauge: Gauge) -> Points:
    """One at a time, of each size."""
    pictures = {number: callers.picture(number) for number in GRIDS}
    replies = {str(number): await callers.reply(picture) for number, picture in pictures.items()}
    await asyncio.to_thread(service.deploy_echo, replies)
    for number, picture in pictures.items():
        yield await gauge.measure(number, NEW, [[callers.encoding(callers.picture(number))] for _ in range(4)], 1)
        for kind, ask in _beside(callers, picture, str(number)):
            yield await gauge.measure(number, kind, [[ask]] * 40, 1)


async def flight(service: Service, callers: Callers, gauge: Gauge) -> Points:
    """Images of one local tile, so many at once."""
    picture = callers.picture(1)
    await asyncio.to_thread(service.deploy_echo, {"": await callers.reply(picture)})
    for width in _FLIGHT:
        number = max(8, 2 * width)
        yield await gauge.measure(width, NEW, [[callers.encoding(callers.picture(1))] for _ in range(number)], width)
        for kind, ask in _beside(callers, picture, ""):
            yield await gauge.measure(width, kind, [[ask]] * max(40, 6 * width), width)


async def questions(service: Service, callers: Callers, gauge: Gauge) -> Points:
    """Whole answers of users who each come with a new image of four local tiles and ask so many questions about it."""
    await asyncio.to_thread(service.deploy_llm)
    known = callers.picture(TALKED_ABOUT)
    # The first answers take what is done but once.
    for number in range(_TALKERS):
        await callers.answering(known, number)()
    again = [[callers.answering(known, 100 + number)] for number in range(24)]
    yield await gauge.measure(0, ANSWERS_KNOWN, again, _TALKERS)
    for number in _QUESTIONS:
        pictures = [callers.picture(TALKED_ABOUT) for _ in range(max(_TALKERS, 16 // number))]
        users = [[callers.answering(picture, each) for each in range(number)] for picture in pictures]
        yield await gauge.measure(number, ANSWERS, users, _TALKERS)


async def replicas(service: Service, callers: Callers, gauge: Gauge) -> Points:
    """Images of one local tile, sixteen at once, with so many towers and so many ingresses."""
    picture = callers.picture(1)
    reply = await callers.reply(picture)
    for number in _REPLICAS:
        await asyncio.to_thread(service.deploy_encoder, number)
        await asyncio.to_thread(service.deploy_echo, {"": reply}, number)
        # Each replica has been asked before.
        await gauge.measure(
            number, NEW, [[callers.encoding(callers.picture(1))] for _ in range(4 * number)], 4 * number
        )
        yield await gauge.measure(number, NEW, [[callers.encoding(callers.picture(1))] for _ in range(48)], _WIDTH)
        for kind, ask in _beside(callers, picture, ""):
            yield await gauge.measure(number, kind, [[ask]] * 200, _WIDTH)


def _beside(callers: Callers, picture: bytes, question: str) -> tuple[tuple[str, Ask], ...]:
    return ((KNOWN, callers.encoding(picture)), (ECHOED, callers.echoing(picture, question)))


PIECES: dict[str, Piece] = {
    "tiles": Piece("local tiles of an image", 2, tiles),
    "flight": Piece("images in flight", 2, flight),
    "questions": Piece("questions an image", 1, questions),
    "replicas": Piece("replicas", 1, replicas),
}
