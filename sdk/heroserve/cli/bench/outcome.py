"""What became of one request of a load, and the two ways there are to send one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from heroserve.cli.fields import IMAGE, QUESTION
from heroserve.savings import Savings
from heroserve.v1.tokens_pb2 import Image

OK = "OK"


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    status: OK, gRPC's name of another, or HTTP's number with "HTTP " before it.
    problem: of one that failed, in words.
    began_s, first_s, ended_s: on the clock of `time.monotonic`; when it was due or sent, when the first text came
        (None where none did), and its end.
    tokens: that were generated.
    savings: what dropping saved; zeros where nobody says.
    """

    status: str
    began_s: float
    ended_s: float
    problem: str = ""
    first_s: float | None = None
    tokens: int = 0
    savings: Savings = field(default_factory=Savings)

    @property
    def answered(self) -> bool:
        """Whether the whole answer came."""
        return self.status == OK


@dataclass(frozen=True)
class Asked:
    """What each request asks for; None is the service's default."""

    question: str
    retention: float | None = None
    max_visual_tokens: int | None = None
    max_tokens: int | None = None


def named(text: str) -> str:
    """What others call by an argument is an option here."""
    for argument, option in ((IMAGE, "--image"), (QUESTION, "--question")):
        text = text.replace(f"{argument}:", f"{option}:").replace(f"{argument} is", f"{option} is")
    return text


class Door(Protocol):
    """One way to a service. Thread-safe."""

    name: str

    def check(self) -> str:
        """Reach the service; a question that its model was made for, "" for none. Raises Told where it can't."""

    def ask(self, image: Image, asked: Asked, began_s: float) -> Outcome:
        """One request, read to its end; raises nothing for a call that failed."""

    def close(self) -> None:
        """Break off what runs."""
