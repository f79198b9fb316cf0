"""A question and its answer, as it is written; Ctrl-C stops the answer."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import typer

from heroserve.cli import answers
from heroserve.cli.calling import telling
from heroserve.cli.output import harmless, note, warn
from heroserve.cli.talk.conversation import Conversation
from heroserve.cli.told import Asked, Told
from heroserve.cli.waiting import Waiting
from heroserve.client import Client
from heroserve.errors import Cancelled
from heroserve.requests import GenerateOptions
from heroserve.results import Answer
from heroserve.streams import Stream
from heroserve.v1.chat_pb2 import ChatDescription


class Turns:
    """Those of one conversation.

    Attributes:
        options: of every request from now on.
        numbers: whether an answer's cost is told.
        last: the last whole answer, None before there is one.
    """

    def __init__(
        self,
        client: Client,
        conversation: Conversation,
        options: GenerateOptions,
        *,
        asked: Asked,
        runs: ChatDescription | None,
        typed: bool,
        streamed: bool,
        as_json: bool,
    ) -> None:
        self.options = options
        self.numbers = True
        self.last: Answer | None = None
        self._client = client
        self._conversation = conversation
        self._asked = asked
        self._runs = runs
        self._typed = typed
        self._streamed = streamed and not as_json
        self._as_json = as_json

    def ask(self, question: str) -> None:
        """Show the answer; both are part of the conversation then. Raises Told."""
        try:
            with telling(replace(self._asked, names=self._conversation.names())):
                stream = self._client.generate(self._conversation.request(question, self.options))
                stopped = self._read(stream)
        except Told as told:
            if told.field == "messages" and self._conversation.turns and self._typed:
                told.hint = "/reset forgets what was said"
            raise
        if stopped:
            self._keep_what_came(question, stream.text)
            return
        answer = stream.answer
        self.last = answer
        if self._as_json:
            typer.echo(json.dumps(answers.as_dict(answer), ensure_ascii=False))
        elif not self._streamed and answer.text:
            typer.echo(harmless(answer.text))
        if answer.text.strip():
            self._conversation.add(question, answer.text)
        else:  # not a turn to go on from
            warn(answers.empty(self._runs), self._as_json)
        if self.numbers and not self._as_json:
            note("\n".join(answers.bill(answer)))

    def _read(self, stream: Stream) -> bool:
        """To its end; whether it was stopped before."""
        with Waiting(self._typed and not self._as_json) as waiting, stream, _stopped_by_hand(stream, self._typed) as by:
            waiting.stage("looking at the picture" if self._conversation.waiting else "thinking")
            try:
                for delta in stream:
                    waiting.done()
                    if self._streamed:
                        typer.echo(harmless(delta), nl=False)
            except Cancelled:
                if not by:
                    raise
            finally:
                waiting.done()
                if stream.text and self._streamed:
                    typer.echo()
        return bool(by)

    def _keep_what_came(self, question: str, text: str) -> None:
        if text.strip():
            if not self._streamed:
                typer.echo(harmless(text))
            self._conversation.add(question, text)
            note("stopped; the conversation goes on from what came of the answer")
        else:
            note("stopped; the question is forgotten")


@contextmanager
def _stopped_by_hand(stream: Stream, typed: bool) -> Iterator[list[int]]:
    """Ctrl-C ends the stream, whose loop then ends with Cancelled; what is given is empty until then."""
    by: list[int] = []

    def stop(number: int, frame: Any) -> None:
        by.append(number)
        stream.close()

    # Whoever has it ignored, as a shell's background does, keeps that.
    if not typed or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield by
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield by
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
