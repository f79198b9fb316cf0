"""A failure as people are told it: one line, in the command's words."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from heroserve.cli.fields import IMAGE, field_of, option_of, translated
from heroserve.cli.hints import hint, nobody_there, somebody_else
from heroserve.errors import HeroserveError, ImageError, InvalidArgument
from heroserve.failure import nobody, reason

FAILED = 1
BAD_INPUT = 2
_LONGEST = 500
_PLACE = 80
# How gRPC writes an address that it has tried.
_TRIED = re.compile(r"\bipv[46]:(?=[\d%\[])([^\s;,]+)")
# What it says of a peer that speaks something else.
_NO_HTTP2 = re.compile(r"HTTP/2|http1|handshake", re.IGNORECASE)
# What a service says of messages, which here are one question.
_OF_ONE = {"have ": "has ", "make ": "makes ", "do not ": "does not ", "ask ": "asks "}
_OUTCOMES = {
    grpc.StatusCode.CANCELLED: "cancelled the call",
    grpc.StatusCode.DEADLINE_EXCEEDED: "had no answer in time",
    grpc.StatusCode.FAILED_PRECONDITION: "can't do this as it is set up",
    grpc.StatusCode.NOT_FOUND: "does not have it",
    grpc.StatusCode.PERMISSION_DENIED: "does not let this key do it",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "has too much to do",
    grpc.StatusCode.UNAUTHENTICATED: "does not let this in",
    grpc.StatusCode.UNAVAILABLE: "can't answer now",
    grpc.StatusCode.UNIMPLEMENTED: "does not do this",
}


@dataclass(frozen=True)
class Asked:
    """What the command was told about the call that failed.

    Args:
        target: HOST:PORT of the service.
        target_option: by which it is said.
        has_key: whether an API key was sent.
        picture: what to call the picture; "" without one, or with several.
        names: what to call parts of a conversation, by the wire's paths of them: an option, or a picture's name.
        tls: whether it was to be encrypted.
    """

    target: str = ""
    target_option: str = "--target"
    has_key: bool = False
    picture: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False

    def name_of(self, path: str) -> str:
        """Of the part that a field is, or is in; "" where it has no name of its own."""
        within = [part for part in self.names if path == part or path.startswith((f"{part}.", f"{part}["))]
        return self.names[max(within, key=len)] if within else ""


class Told(Exception):
    """Ends the command: a line on stderr, and a status.

    Args:
        message: what is wrong, without the hint.
        status: of the process.
        code: gRPC's name for it.
        option: what of the command it is about; "" for none.
        field: the same as the wire calls it.
        hint: what to do about it.
        request_id: what the services' logs call the request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = BAD_INPUT,
        code: str = "INVALID_ARGUMENT",
        option: str = "",
        field: str = "",
        hint: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = one_line(message)
        self.status = status
        self.code = code
        self.option = option
        self.field = field
        self.hint = hint
        self.request_id = request_id

    @property
    def line(self) -> str:
        """For people."""
        hint = f"; {self.hint}" if self.hint else ""
        request = f" (request {one_line(self.request_id)})" if self.request_id else ""
        return f"heroserve: {self.message}{hint}{request}"

    @property
    def json(self) -> str:
        """For programs; keys without a value are left out."""
        told = {
            "code": self.code,
            "message": self.message,
            "option": self.option,
            "field": self.field,
            "hint": self.hint,
            "request_id": self.request_id,
            "status": self.status,
        }
        return json.dumps({"error": {name: value for name, value in told.items() if value != ""}})


def told(error: HeroserveError, asked: Asked) -> Told:
    """What went wrong with a call, or with what was to be sent."""
    path = field_of(error.details)
    option = option_of(path) if path else IMAGE if isinstance(error, ImageError) else ""
    problem = error.details.removeprefix(f"{path}: ") if path else error.details
    name = asked.name_of(path)
    if name.startswith("--"):
        option, name = name, ""
    if path.startswith("messages"):
        if re.match(r"have \d+ images", problem):
            option, name = IMAGE, ""
        plural = next((words for words in _OF_ONE if problem.startswith(words)), "")
        problem = _OF_ONE.get(plural, "") + problem.removeprefix(plural)
        if not asked.picture:  # of several
            problem = re.sub(r"^has (\d+) images", r"there are \1", problem)
    problem = translated(problem)
    absent = nobody_there(error)
    taken = absent and somebody_else(asked.target, error.details)
    place = one_line(asked.target, _PLACE)
    if not isinstance(error, InvalidArgument):
        problem = _in_short(problem, asked.target)
    if name:
        problem = f"{name}: {problem}"
    elif option == IMAGE and not isinstance(error, ImageError) and asked.picture:
        problem = f"{asked.picture}: {problem}"
    elif taken:
        starting = "" if _NO_HTTP2.search(problem) else ", or is only starting"
        problem = f"what listens at {place} is no gRPC service{starting}: {reason(problem)}"
    elif absent:
        problem = nobody(place, problem)
    elif error.code is grpc.StatusCode.UNAUTHENTICATED and path:
        problem = f"{place} {'does not accept this API key' if asked.has_key else 'wants an API key'}"
    elif option:
        problem = f"{option}: {problem}"
    elif not isinstance(error, InvalidArgument):
        problem = f"{place} {_OUTCOMES.get(error.code, 'failed')}: {problem}"
    return Told(
        problem,
        status=BAD_INPUT if isinstance(error, InvalidArgument) else FAILED,
        code=error.code.name,
        option=option,
        field=path,
        hint=hint(error, asked.target_option, asked.has_key, taken=taken, tls=asked.tls),
        # What never got anywhere stands in nobody's logs.
        request_id="" if absent else error.request_id,
    )


def one_line(text: str, longest: int = _LONGEST) -> str:
    """What may hold others' words: nothing that steers a terminal, and cut in its middle where it is long."""
    text = " ".join(text.split())
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def _in_short(details: str, target: str) -> str:
    """With addresses as people write them, and of a long name only its ends."""
    details = _TRIED.sub(lambda found: urllib.parse.unquote(found[1]), details)
    for name in (target, target.rpartition(":")[0]):
        if len(name) > _PLACE:
            details = details.replace(name, one_line(name, _PLACE))
    return details
