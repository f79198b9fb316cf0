"""What was said so far, and about which pictures. Free of input and output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from heroserve.cli.fields import QUESTION
from heroserve.cli.pictures import names_of
from heroserve.requests import GenerateOptions, assistant, generate_request, system, user
from heroserve.v1.chat_pb2 import GenerateRequest, Message
from heroserve.v1.tokens_pb2 import Image


@dataclass(frozen=True)
class Picture:
    """Attributes:
    file: as it was named.
    name: what people call it.
    image: as it is sent.
    """

    file: str
    name: str
    image: Image


@dataclass
class Conversation:
    """Attributes:
    instructions: the system's text, None for none.
    waiting: pictures that go along with the next question.
    """

    instructions: str | None = None
    waiting: list[Picture] = field(default_factory=list)
    _said: list[tuple[str, list[Picture], str]] = field(default_factory=list)

    @property
    def pictures(self) -> list[Picture]:
        """All of them, in the order of an answer's explanations."""
        return [picture for _, pictures, _ in self._said for picture in pictures] + self.waiting

    @property
    def turns(self) -> int:
        """Questions that were answered."""
        return len(self._said)

    def request(self, question: str, options: GenerateOptions) -> GenerateRequest:
        """To go on with this question."""
        messages: list[Message] = [] if self.instructions is None else [system(self.instructions)]
        for asked, pictures, answered in self._said:
            messages += [user(asked, *(picture.image for picture in pictures)), assistant(answered)]
        messages.append(user(question, *(picture.image for picture in self.waiting)))
        return generate_request(messages, **options)

    def names(self) -> Mapping[str, str]:
        """What people call the parts of such a request, by the wire's paths of them."""
        first = 0 if self.instructions is None else 1
        names = {"messages": "the conversation" if self._said else QUESTION}
        if first:
            names["messages[0]"] = "--system"
        for turn, pictures in enumerate([*(pictures for _, pictures, _ in self._said), self.waiting]):
            names |= names_of([picture.file for picture in pictures], f"messages[{first + 2 * turn}]")
        return names

    def add(self, question: str, answer: str) -> None:
        """It was answered: its pictures are part of the conversation now."""
        self._said.append((question, self.waiting, answer))
        self.waiting = []

    def reset(self, pictures: Iterable[Picture] | None = None) -> None:
        """Forget what was said; the next question is about these pictures, or again about all there were."""
        self.waiting = self.pictures if pictures is None else list(pictures)
        self._said = []
