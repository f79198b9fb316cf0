"""What is known of an application by asking it again and again."""

from __future__ import annotations

import asyncio

import pytest

from services.common.ingress import canary
from services.common.ingress.canary import PATIENCE_S, PERIOD_S, Canary
from tests.support.waiting import until_true


class Application:
    """Answers as it is told, at the time that it is told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lacking: dict[str, str] = {}
        self.failure: Exception | None = None
        self.hangs = False
        self.asked = 0
        self.canary = Canary("it", self.answer, clock=lambda: self.now)

    async def answer(self) -> dict[str, str]:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(3600)
        if self.failure:
            raise self.failure
        return self.lacking

    async def after(self, seconds: float) -> str | None:
        """A canary's news at a later time."""
        self.now += seconds
        await self.canary.send()
        return self.canary.problem()


@pytest.fixture
def here() -> Application:
    return Application()


async def test_before_the_first_answer_it_is_not_ready(here: Application) -> None:
    assert here.canary.problem() == "no replica has answered yet"
    assert await here.after(0) is None


async def test_silence_is_told_at_the_end_of_patience_and_not_before(here: Application) -> None:
    await here.after(0)
    here.now += PATIENCE_S - 0.1
    assert here.canary.problem() is None
    here.now += 0.2
    assert here.canary.problem() == "no replica has answered for 6 s (no answer)"
    assert await here.after(1) is None


async def test_a_failure_is_named_and_one_alone_changes_nothing(here: Application) -> None:
    await here.after(0)
    here.failure = ConnectionError("10.1.2.3 is no business of anybody")
    assert await here.after(PERIOD_S) is None
    assert await here.after(PATIENCE_S) == "no replica has answered for 8 s (ConnectionError)"


async def test_what_an_application_lacks_is_told_with_the_same_patience(here: Application) -> None:
    await here.after(0)
    here.lacking = {"encoder": "away"}
    assert await here.after(PERIOD_S) is None
    assert await here.after(PATIENCE_S) == "encoder: away"
    # Who does not mind: it is there, and answers what needs no encoder.
    assert here.canary.problem(without=["encoder"]) is None
    assert here.canary.problem(without=["redis"]) == "encoder: away"
    here.lacking = {}
    assert await here.after(PERIOD_S) is None


async def test_what_it_lacks_from_the_start_is_told_at_once(here: Application) -> None:
    here.lacking = {"encoder": "away"}
    assert await here.after(0) == "encoder: away"


async def test_one_address_of_several_that_is_away_is_none_that_is_lacking(here: Application) -> None:
    """Canaries that go to one and the other in turn."""
    for turn in range(10):
        here.lacking = {"encoder": "away"} if turn % 2 else {}
        assert await here.after(PERIOD_S) is None


async def test_one_that_hangs_keeps_none_that_follow(here: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "PERIOD_S", 0.01)
    here.hangs = True
    running = asyncio.create_task(here.canary.run())
    await until_true(lambda: here.asked >= 3)
    here.hangs = False
    asked = here.asked
    await until_true(lambda: here.asked >= asked + 2)
    assert here.canary.problem() is None
    running.cancel()


async def test_those_that_nobody_waits_for_any_more_end(here: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "PERIOD_S", 0.01)
    monkeypatch.setattr(canary, "PATIENCE_S", 0.05)
    here.hangs = True
    running = asyncio.create_task(here.canary.run())
    await until_true(lambda: here.asked >= 30)
    # As many as fit into their time, and room for a slow machine.
    assert len(here.canary._under_way) < 15
    running.cancel()


async def test_what_has_changed_is_told_once(
    here: Application, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(canary, "PERIOD_S", 0.01)
    here.failure = OSError()
    running = asyncio.create_task(here.canary.run())

    async def some_more() -> None:
        asked = here.asked
        await until_true(lambda: here.asked >= asked + 3)

    await some_more()
    here.failure = None
    await some_more()
    assert not caplog.messages
    here.failure = OSError()
    await some_more()
    here.now += PATIENCE_S
    await some_more()
    here.failure = None
    await some_more()
    assert caplog.messages == [
        "it is not ready: no replica has answered for 6 s (OSError)",
        "it is ready again",
    ]
    running.cancel()
