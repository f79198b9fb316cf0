"""`heroserve bench`."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from typing import Any

import typer

from heroserve.cli import options
from heroserve.cli.bench import options as own
from heroserve.cli.bench import picture
from heroserve.cli.bench.grpc_door import GrpcDoor
from heroserve.cli.bench.http_door import HttpDoor
from heroserve.cli.bench.load import Interrupted, Load
from heroserve.cli.bench.outcome import Asked, Door, Outcome, named
from heroserve.cli.bench.summary import show, summary
from heroserve.cli.pictures import name_of, read_pictures
from heroserve.cli.stopping import SOME_FAILED
from heroserve.cli.told import BAD_INPUT, FAILED, Told, one_line
from heroserve.cli.waiting import Waiting
from heroserve.v1.tokens_pb2 import Image

_QUESTION = "What is in this picture?"
# What would fail alike however often it was sent.
_BAD_INPUT = ("INVALID_ARGUMENT", "HTTP 400", "HTTP 404", "HTTP 413", "HTTP 422")


def bench(
    url: own.Url = "localhost:9001",
    images: own.Images = None,
    question: own.Text = None,
    fresh: own.Fresh = False,
    concurrency: own.Concurrency = None,
    rate: own.Rate = None,
    duration: own.Duration = None,
    requests: own.Requests = None,
    warm_up: own.WarmUp = None,
    retention: options.Retention = None,
    max_visual_tokens: options.MaxVisualTokens = None,
    max_tokens: options.MaxTokens = None,
    api_key: options.ApiKey = None,
    tls: options.Tls = False,
    timeout: options.Timeout = 120.0,
    as_json: options.AsJson = False,
) -> None:
    """Measure a running service under a short load: time to first token, whole answers, rates, what was saved.

    Every request asks the same question, and but for --fresh about the same pictures, which are in the encoder's cache
    after the warm-up. Nothing is tried twice. Ends with 3 where some requests failed, with 1 where all did.
    """
    options.one_budget(retention, max_visual_tokens)
    if fresh and images:
        raise typer.BadParameter(
            "--fresh sends a picture that is drawn for it, and --image names others; give one of the two"
        )
    over_http = "://" in url
    if tls and over_http:
        raise typer.BadParameter("--tls is for gRPC; of OpenAI's API the URL says it: https://")
    at_once = concurrency or (4 if rate is None else own.OPEN_AT_ONCE)
    load = Load(at_once, rate, duration or (None if requests else own.DURATION_S), requests)
    pictures = _read(images or [])
    door: Door = HttpDoor(url, api_key, timeout) if over_http else GrpcDoor(url, api_key, tls, timeout)
    next_picture = _fresh() if fresh else itertools.cycle(pictures or [Image(data=picture.draw())]).__next__
    before = max(4 if rate is not None else at_once, len(pictures)) if warm_up is None else warm_up
    interrupted = False
    try:
        with Waiting(not as_json) as waiting:
            waiting.stage(f"connecting to {url}")
            example = door.check()
            asked = Asked(question or example or _QUESTION, retention, max_visual_tokens, max_tokens)

            def ask(began_s: float) -> Outcome:
                return door.ask(next_picture(), asked, began_s)

            if before:
                waiting.stage("warming up")
                _first(Load(1, requests=1).run(ask))
                Load(min(at_once, before), requests=before - 1).run(ask)
            try:
                outcomes = load.run(ask, lambda done: waiting.stage(f"measuring: {done} done"))
            except Interrupted as interrupt:
                outcomes, interrupted = interrupt.outcomes, True
    finally:
        door.close()
    about = ", ".join(map(name_of, images or ())) or (
        "a new file for each request" if fresh else "one that was drawn for it"
    )
    told: dict[str, Any] = {
        "url": url,
        "door": "http" if over_http else "grpc",
        "loop": "closed" if rate is None else "open",
        "concurrency": at_once,
        "rate": rate,
        "warm_up": before,
        "fresh": fresh,
        "pictures": about,
        "question": asked.question,
        **summary(outcomes),
    }
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        loop = f"closed loop, {at_once} at once" if rate is None else f"open loop, {rate:g} a second, {at_once} at once"
        show(
            told,
            [
                f"{url}, {door.name} · {loop} · after a warm-up of {before}",
                f"pictures: {about} · question: {one_line(asked.question, 100)}",
            ],
        )
    if interrupted:
        raise KeyboardInterrupt
    if failed := told["requests"]["failed"]:
        counts = ", ".join(f"{error['count']} {status}" for status, error in told["errors"].items())
        raise Told(
            f"{failed} of {told['requests']['sent']} requests failed: {counts}",
            status=SOME_FAILED if told["requests"]["answered"] else FAILED,
            code="UNKNOWN",
        )


def _read(images: list[str]) -> list[Image]:
    try:
        return read_pictures(images)
    except Told as told:
        told.message, told.hint, told.option = named(told.message), named(told.hint), "--image"
        raise


def _fresh() -> Callable[[], Image]:
    """Pictures that nobody has seen, another time's neither."""
    numbers = itertools.count(int.from_bytes(os.urandom(6), "big"))
    return lambda: Image(data=picture.draw_anew(next(numbers)))


def _first(outcomes: list[Outcome]) -> None:
    """Raises Told where nobody could be measured."""
    (outcome,) = outcomes
    if not outcome.answered:
        wrong = outcome.status in _BAD_INPUT
        raise Told(
            f"the first request was not answered: {outcome.status}: {outcome.problem}",
            status=BAD_INPUT if wrong else FAILED,
            code="INVALID_ARGUMENT" if wrong else "UNKNOWN",
        )
