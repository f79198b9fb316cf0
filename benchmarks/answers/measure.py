"""What is asked of a side, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

from benchmarks.answers.memory import Memory
from benchmarks.sides import Side, Told, shown
from models.world.scene import sample_scene

# Of one length, about different things: what they have kept of a picture is different too.
QUESTIONS = (
    "what characters are on the black cross and the green square?",
    "how many of the shapes in the picture are red or have no edge?",
    "which word stands in the third line of the letter, and by whom?",
    "is there a dog behind the fence, or what else is it that barks?",
    "what is the total of the receipt, and which tax is part of that?",
    "who of the people at the table wears a hat and looks at the sky?",
    "when does the last train to the airport leave, from which track?",
)


@dataclass(frozen=True)
class Asking:
    """Attributes:
    pictures: new ones, one after the other; the known ones are these.
    callers: at once, about known pictures, one question each a round.
    rounds: at most; and no more once these took ``seconds``.
    answer: tokens of an answer.
    size: of a picture, width and height in pixels.
    """

    pictures: int
    callers: int
    rounds: int
    seconds: float
    answer: int
    size: tuple[int, int]


@dataclass
class Found:
    """Of a side at a retention; ``new_s`` and ``known_s`` are of one caller, seconds to a first token and to the end.

    Attributes:
        side, retention: None where it reads all, whatever is asked.
        new_s, known_s: of new pictures, of other questions about them.
        rates: answers a second of each round of all callers, about known pictures; first_s of all of these.
        prompt: tokens, and of these on average ``cached`` where all callers asked.
        peak_bytes: memory of all its processes, so far: retentions are asked in ascending order.
    """

    side: str
    retention: float | None
    new_s: list[tuple[float, float]] = field(default_factory=list)
    known_s: list[tuple[float, float]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    prompt: float = 0.0
    cached: float = 0.0
    peak_bytes: int = 0

    @property
    def row(self) -> dict[str, Any]:
        return asdict(self)


async def ask_all(side: Side, found: Found, asking: Asking, pictures: Sequence[dict[str, Any]]) -> None:
    """New pictures one by one, a known one again, then all callers at once, each round with questions of its own."""
    numbers = count()

    async def ask(picture: dict[str, Any]) -> Told:
        # What is new of a question comes first, so that nothing of it is cached.
        number = next(numbers)
        text = {"type": "text", "text": f"{number}: {QUESTIONS[number % len(QUESTIONS)]}"}
        return await side.ask([picture, text], asking.answer, ignore_eos=True)

    for picture in pictures:
        told = await ask(picture)
        found.new_s.append((told.first_s, told.whole_s))
    for picture in pictures[:2]:
        told = await ask(picture)
        found.known_s.append((told.first_s, told.whole_s))
    answers: list[Told] = []
    began = time.monotonic()
    while len(found.rates) < asking.rounds and (not found.rates or time.monotonic() - began < asking.seconds):
        start = time.monotonic()
        asked = [pictures[caller % len(pictures)] for caller in range(asking.callers)]
        answers += await asyncio.gather(*map(ask, asked))
        found.rates.append(asking.callers / (time.monotonic() - start))
    found.first_s = [told.first_s for told in answers]
    found.prompt = sum(told.prompt for told in answers) / len(answers)
    found.cached = sum(told.cached for told in answers) / len(answers)


async def measure(name: str, url: str, retentions: Sequence[float | None], asking: Asking) -> list[Found]:
    """All that is asked of a side that has just started.

    Args:
        name: of the side.
        url: of its server.
        retentions: in the order in which they are asked.
        asking: how.
    """
    # The first answer of a server takes what it does once. Every side is shown the same pictures.
    scenes = count(1)
    warm = shown(sample_scene("test", 0), asking.size)
    results = []
    with Memory() as memory:
        for place, retention in enumerate(retentions):
            side = Side(f"{url}/v1" if retention is None else f"{url}/v1@{retention:g}")
            if not place:
                await side.ask([warm, {"type": "text", "text": QUESTIONS[0]}], 2, ignore_eos=True)
            pictures = [shown(sample_scene("test", next(scenes)), asking.size) for _ in range(asking.pictures)]
            found = Found(name, retention)
            await ask_all(side, found, asking, pictures)
            await side.close()
            found.peak_bytes = memory.peak()
            results.append(found)
    return results
