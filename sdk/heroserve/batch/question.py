"""One question of a batch: whatever format it was written in, and the request that it becomes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from heroserve.errors import ArgumentError, HeroserveError, ImageError
from heroserve.images import load_image
from heroserve.requests import BudgetOptions, GenerateOptions, generate_request
from heroserve.sources import why_no_text
from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part
from heroserve.v1.tokens_pb2 import Image

Format = Literal["heroserve", "openai"]
Speaker = Literal["SYSTEM", "USER", "ASSISTANT"]
BUDGETS = tuple(BudgetOptions.__annotations__)
_PLACE = re.compile(r"messages\[(\d+)\](?:\.parts\[(\d+)\])?[\w.\[\]]*|[\w.\[\]]+")

# What a service says of messages that is of their images.
_MANY = re.compile(r"have \d+ images")


@dataclass(frozen=True)
class Piece:
    """Of a turn: a text, or a picture.

    Args:
        name: what its line calls it.
        text: the text; of a picture, its path or data: URL.
        picture: whether it is one.
        digest: of one that the service has, in the place of its file.
    """

    name: str
    text: str = ""
    picture: bool = False
    digest: str = ""

    @classmethod
    def of_picture(cls, name: str, source: str, folder: str) -> Piece:
        """`source` is a URL as it stands (which ones are taken the SDK tells), or a path from `folder`."""
        is_url = source[:5].lower() == "data:" or "://" in source[:20]
        return cls(name, source if is_url else os.path.join(folder, source), picture=True)

    def part(self) -> Part:
        """Raises ImageError, and ArgumentError for a text that is none."""
        try:
            if self.digest:
                return Part(image=Image(digest=self.digest))
            return Part(image=load_image(self.text)) if self.picture else Part(text=self.text)
        except ImageError as error:
            raise ImageError(f"{self.name}: {error.details.partition(': ')[2]}") from error
        except ValueError as error:
            raise ArgumentError(f"{self.name}: {why_no_text(error)}") from error


@dataclass(frozen=True)
class Turn:
    """What somebody says, and what the line calls that."""

    role: Speaker
    pieces: tuple[Piece, ...]
    name: str


@dataclass(frozen=True)
class Question:
    """A line.

    Args:
        line: from 1.
        key: of its content: what a later run knows it by.
        id: the caller's own name for it.
        turns: oldest first.
        options: of its own, before those of the batch.
        expected: answers that are right; none where the line names none.
        match: how an answer is compared with them; "" if it does not say.
        told: what its answer's record repeats.
        format: of the line, and of its answer's record.
        names: what the line calls an option, where that is not the option's name.
    """

    line: int
    key: str
    turns: tuple[Turn, ...]
    id: Any = None
    options: GenerateOptions = field(default_factory=GenerateOptions)
    expected: tuple[str, ...] = ()
    match: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    format: Format = "heroserve"
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def pictures(self) -> tuple[str, ...]:
        """Their paths, data: URLs or digests."""
        pieces = (piece for turn in self.turns for piece in turn.pieces if piece.picture)
        return tuple(piece.digest or piece.text for piece in pieces)

    def within(self, retention: float) -> Question:
        """The same, with this budget and no other."""
        rest = {name: value for name, value in self.options.items() if name not in BUDGETS}
        return replace(self, options=cast(GenerateOptions, {**rest, "retention": retention}))

    def instructed(self, system: str) -> Question:
        """The same, with these instructions where it has none of its own."""
        if any(turn.role == "SYSTEM" for turn in self.turns):
            return self
        return replace(self, turns=(Turn("SYSTEM", (Piece("system", system),), "system"), *self.turns))

    def request(self, defaults: GenerateOptions) -> GenerateRequest:
        """With `defaults` for what the line does not say. Raises ImageError and ArgumentError; see `fault`."""
        # A budget of its own is in the place of either of theirs.
        own = any(self.options.get(name) is not None for name in BUDGETS)
        kept = {name: value for name, value in defaults.items() if not (own and name in BUDGETS)}
        messages = [Message(role=turn.role, parts=[piece.part() for piece in turn.pieces]) for turn in self.turns]
        return generate_request(messages, **{**kept, **self.options})  # type: ignore[arg-type]

    def fault(self, error: HeroserveError) -> tuple[str, str]:
        """Which field of the line an error is about, "" for none, and what is wrong with it."""
        head, colon, problem = error.details.partition(": ")
        found = _PLACE.fullmatch(head)
        if not colon or not found or not (isinstance(error, ArgumentError) or _is_field(head)):
            return "", error.details
        if found[1] is not None:
            return self._name(int(found[1]), found[2]), problem
        if any(head == piece.name for turn in self.turns for piece in turn.pieces):
            return head, problem
        if head == "messages":
            own = "images" if _MANY.match(problem) else self.turns[-1].name
            return "body.messages" if self.format == "openai" else own, problem
        if head in ("image.data", "image.digest"):
            return next((piece.name for turn in self.turns for piece in turn.pieces if piece.picture), head), problem
        name, bracket, index = head.rpartition(".")[2].partition("[")
        return self.names.get(name, name) + bracket + index, problem

    def _name(self, turn: int, part: str | None) -> str:
        if turn >= len(self.turns):
            return self.turns[-1].name
        pieces = self.turns[turn].pieces
        return pieces[int(part)].name if part is not None and int(part) < len(pieces) else self.turns[turn].name


@dataclass(frozen=True)
class BadLine:
    """One that is no question.

    Args:
        line: from 1.
        key: of its content.
        error: begins with the field, where it is about one.
        id: the caller's own name for it, where it has one.
        format: of the line.
    """

    line: int
    key: str
    error: ArgumentError
    id: Any = None
    format: Format = "heroserve"

    def fault(self, error: HeroserveError) -> tuple[str, str]:
        """As of a `Question`."""
        head, colon, problem = error.details.partition(": ")
        return (head, problem) if colon and _PLACE.fullmatch(head) else ("", error.details)


def _is_field(head: str) -> bool:
    """What a service's message may begin with, and mean a field."""
    return "." in head or "[" in head or head in ("messages", "budget", "image", "question", "sampling")
