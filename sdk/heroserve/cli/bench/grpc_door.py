"""The LLM service's gRPC, by the SDK's client."""

from __future__ import annotations

import time

from heroserve.cli import told
from heroserve.cli.bench.outcome import OK, Asked, Outcome, named
from heroserve.cli.calling import telling
from heroserve.cli.fields import translated
from heroserve.client import Client
from heroserve.errors import HeroserveError
from heroserve.requests import ask_request
from heroserve.retry import RetryPolicy
from heroserve.v1.tokens_pb2 import Image

# With a service that is there before there is a load.
_PATIENCE_S = 10.0


class GrpcDoor:
    """Args: as the client's. Nothing is tried twice: a load that waits for better times measures something else."""

    name = "gRPC"

    def __init__(self, target: str, api_key: str | None, tls: bool, timeout_s: float) -> None:
        self._call = told.Asked(target, "URL", bool(api_key), tls=tls)
        retry = RetryPolicy(attempts=1, wait_for_service=False, overload_share=0)
        self._client = Client(target, api_key=api_key, tls=tls, timeout_s=timeout_s, retry=retry)

    def check(self) -> str:
        with telling(self._call):
            description = self._client.describe(timeout_s=_PATIENCE_S)
        return next(iter(description.examples), "")

    def ask(self, image: Image, asked: Asked, began_s: float) -> Outcome:
        first_s = None
        try:
            stream = self._client.generate(
                ask_request(
                    image,
                    asked.question,
                    retention=asked.retention,
                    max_visual_tokens=asked.max_visual_tokens,
                    max_tokens=asked.max_tokens,
                )
            )
            for _ in stream:
                first_s = first_s or time.monotonic()
        except HeroserveError as error:
            problem = told.one_line(named(translated(error.details)), 300)
            return Outcome(error.code.name, began_s, time.monotonic(), problem)
        answer = stream.answer
        ended_s = time.monotonic()
        return Outcome(OK, began_s, ended_s, "", first_s, answer.usage.completion_tokens, answer.savings)

    def close(self) -> None:
        self._client.close()
