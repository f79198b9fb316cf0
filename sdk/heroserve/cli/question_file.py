"""QUESTIONS and the file of answers, as commands are given them; checked before anything is asked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, cast

import grpc
import typer

from heroserve.batch.answers import AnswerFile
from heroserve.batch.folder import picture_names, picture_questions
from heroserve.batch.lines import read_lines
from heroserve.batch.question import BadLine, Question
from heroserve.batch.questions import read_questions
from heroserve.cli import ranges
from heroserve.cli.calling import llm
from heroserve.cli.hints import nobody_there
from heroserve.cli.output import write_error
from heroserve.cli.told import Told, one_line
from heroserve.cli.writable import problem_of
from heroserve.errors import ArgumentError, HeroserveError
from heroserve.requests import GenerateOptions

QUESTIONS = "QUESTIONS"
# No question would be answered.
FOR_ALL = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_STDIN = "/dev/stdin"
# As of `ask`: what a service runs is asked as a courtesy.
_COURTESY_S = 10.0

Questions = Annotated[
    str,
    typer.Argument(
        metavar=QUESTIONS,
        help="JSON Lines, OpenAI's batch format too, - for stdin, or a folder of images.",
        show_default=False,
    ),
]
Concurrency = Annotated[int, typer.Option(metavar="N", parser=ranges.whole(1, 1024), help="Questions at a time.")]


class QuestionSource:
    """A file of questions, or a folder of images and the question about each. Raises Told for what is neither.

    Attributes:
        count: of the questions; None of a pipe, which is read but once.
    """

    def __init__(self, path: str, question: str | None = None) -> None:
        # Of what the shell has opened, as of any pipe, paths are relative to where we are.
        self.path = _STDIN if path == "-" else path
        self._question = question
        self._names: list[str] = []
        self._name = "stdin" if path == "-" else one_line(path, 100) or "empty"
        try:
            kind = os.stat(self.path).st_mode
            self.is_folder = stat.S_ISDIR(kind)
            if self.is_folder:
                self._names = self._pictures()
            elif question is not None:
                raise Told("--question: is for a folder of images; QUESTIONS is a file, whose lines have theirs")
            elif not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
                raise Told(
                    f"{QUESTIONS}: {self._name} is a device or a socket; name a file or a folder", option=QUESTIONS
                )
            self.count = self._count(kind)
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def read(self, model: str = "") -> Iterator[Question | BadLine]:
        """In order. Raises Told where it can't be read to its end."""
        if self.is_folder:
            yield from picture_questions(self.path, self._names, self._question or "")
            return
        folder = "" if self.count is None else os.path.dirname(self.path)
        try:
            with open(self.path, "rb") as file:
                yield from read_questions(read_lines(file), folder, model)
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def check(self, output: str, option: str) -> None:
        """That answers can be written to a file, and that it is not the questions'. Raises Told."""
        name = one_line(output, 100) or "empty"
        if os.path.exists(output) and os.path.exists(self.path) and os.path.samefile(output, self.path):
            raise Told(f"{option}: is QUESTIONS itself, which would be written over; name another file", option=option)
        if problem := problem_of(output):
            raise Told(f"{option}: {name} {problem}; name another file to write", option=option)

    def _pictures(self) -> list[str]:
        if self._question is None:
            raise Told(f"{QUESTIONS}: {self._name} is a folder of images; say what to ask: --question TEXT")
        if not (names := picture_names(self.path)):
            raise Told(f"{QUESTIONS}: the folder {self._name} has no images in it", option=QUESTIONS)
        return names

    def _count(self, kind: int) -> int | None:
        if self.is_folder:
            return len(self._names)
        if not stat.S_ISREG(kind) or self.path == _STDIN:
            return None
        with open(self.path, "rb") as file:
            count = sum(1 for _ in read_lines(file))
        if not count:
            raise Told(f"{QUESTIONS}: {self._name} has no questions in it", option=QUESTIONS)
        return count

    def _unreadable(self, error: OSError | ValueError) -> Told:
        if isinstance(error, ArgumentError):
            return Told(f"{QUESTIONS}: {self._name} {error.details}", option=QUESTIONS)
        within = getattr(error, "filename", None)  # of a folder
        place = "" if within in (None, self.path) else f" ({one_line(str(within), 100)})"
        reason = getattr(error, "strerror", None) or error
        return Told(f"{QUESTIONS}: cannot read {self._name}{place}: {reason}", option=QUESTIONS)


def answer_file(path: str, option: str, under: Mapping[str, Any], varying: tuple[str, ...] = ()) -> AnswerFile:
    """Opened and mended, for answers under these options. Raises Told."""
    try:
        return AnswerFile(path, under, varying)
    except ArgumentError as error:
        raise Told(f"{option}: {one_line(path, 100)} {error.details}", option=option) from error
    except OSError as error:
        raise write_error(error, error.filename or path) from error


def no_stdout(value: str | None) -> str | None:
    """What another run is to go on from."""
    if value == "-":
        raise typer.BadParameter("is -, and a run that goes on reads what an earlier one wrote; name it, ./- if so")
    return value


def given(**named: Any) -> GenerateOptions:
    """The options that were given."""
    return cast(GenerateOptions, {name: value for name, value in named.items() if value is not None})


def served(target: str, api_key: str | None, tls: bool, timeout_s: float) -> str:
    """What the service calls its model; "" where it can't say just now. Raises Told where nobody is there."""
    with llm(target, api_key, tls, min(timeout_s, _COURTESY_S)) as client:
        try:
            return client.describe().model
        except HeroserveError as error:
            if nobody_there(error) or error.code in FOR_ALL:
                raise  # rather known at once than waited for
            return ""
