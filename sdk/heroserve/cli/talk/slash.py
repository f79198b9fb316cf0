"""Lines that begin with a slash: what they do, and what is said of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

import typer

from heroserve.cli import explaining
from heroserve.cli.fields import IMAGE
from heroserve.cli.hints import MAX_IMAGES
from heroserve.cli.output import console, note
from heroserve.cli.pictures import STDIN, name_of, read_picture
from heroserve.cli.ranges import real
from heroserve.cli.talk.conversation import Conversation, Picture
from heroserve.cli.talk.turn import Turns
from heroserve.cli.tiles import tiles_table
from heroserve.cli.told import Told, one_line

_HELP = {
    "/image": ("FILE...", "add pictures to the next question"),
    "/explain": ("[FILE]", "which visual tokens the last answer kept, and why; or draw that into FILE"),
    "/retention": ("SHARE", "share of visual tokens to keep from now on, above 0 and at most 1"),
    "/numbers": ("", "show what an answer cost and saved, or leave that out"),
    "/reset": ("[FILE...]", "forget what was said; go on with the same pictures, or with these"),
    "/help": ("", "this list"),
    "/quit": ("", "end; Ctrl-D does too. Ctrl-C stops an answer. A question with a slash begins with //"),
}
COMMANDS = list(_HELP)


class Slash:
    """Args:
    max_images: pictures that a conversation may hold; 0 where nobody knows.
    """

    def __init__(self, conversation: Conversation, turns: Turns, max_images: int) -> None:
        self._conversation = conversation
        self._turns = turns
        self._max_images = max_images
        self._all: dict[str, Callable[[Sequence[str]], None]] = {
            "/image": self._image,
            "/explain": self._explain,
            "/retention": self._retention,
            "/numbers": self._numbers,
            "/reset": self._reset,
            "/help": self._help,
        }

    def run(self, line: str) -> bool:
        """Do what it says; False is the end. Raises Told."""
        try:
            name, *arguments = shlex.split(line)
        except ValueError as error:
            raise Told(f"{one_line(line, 60)}: {str(error).lower()}", code="USAGE") from None
        if name == "/quit":
            return False
        if name not in self._all:
            raise Told(f"there is no {one_line(name, 60)}", code="USAGE", hint="/help lists what there is")
        most = 0 if not _HELP[name][0] else None if "..." in _HELP[name][0] else 1
        if most is not None and len(arguments) > most:
            raise Told(f"{name}: takes {'one word' if most else 'nothing'} behind it", code="USAGE", option=name)
        try:
            self._all[name](arguments)
        except typer.BadParameter as error:
            problem = error.message.removeprefix(explaining.OPTION).lstrip(" :")
            raise Told(f"{name}: {problem}", code="USAGE", option=name) from None
        except Told as told:
            if told.option == explaining.OPTION:  # which is a slash here
                told.option, told.message = name, told.message.replace(explaining.OPTION, name, 1)
            raise
        return True

    def _image(self, files: Sequence[str]) -> None:
        if not files:
            raise Told("/image: names no picture", code="USAGE", option="/image", hint="/image FILE")
        pictures = read(files)
        count = len(self._conversation.pictures) + len(pictures)
        check_count(count, self._max_images, "/reset FILE begins anew with another")
        self._conversation.waiting += pictures
        note(f"the next question is about {_listed(self._conversation.waiting)}")

    def _reset(self, files: Sequence[str]) -> None:
        pictures = read(files) if files else None
        check_count(len(pictures or ()), self._max_images)
        self._conversation.reset(pictures)
        self._turns.last = None
        note(f"nothing was said yet; the pictures: {_listed(self._conversation.waiting) or 'none'}")

    def _explain(self, files: Sequence[str]) -> None:
        answer = self._turns.last
        if answer is None:
            raise Told("/explain: there is no answer yet", code="FAILED_PRECONDITION", option="/explain")
        pictures = self._conversation.pictures[: len(answer.explanations)]
        if files:
            checked = explaining.checked(files[0])
            drawn = explaining.files(checked, [picture.file for picture in pictures])
            explaining.write_all(drawn, answer, [picture.image for picture in pictures], as_json=False)
        for picture, explanation in zip(pictures, answer.explanations, strict=False):
            if not files:
                note(f"{picture.name}, for: {one_line(explanation.question, 200)}")
                console(stderr=True).print(tiles_table(explanation.tiles, explanation.grid))
        if not answer.explanations:
            note("there is nothing to explain: no picture, or a service that is too old to tell")

    def _retention(self, shares: Sequence[str]) -> None:
        if not shares:
            now = self._turns.options.get("retention")
            note(f"retention is {now:g}" if now else "retention is the service's default; /retention SHARE sets it")
            return
        share = real(0, 1, above=True)(shares[0])
        self._turns.options = {**self._turns.options, "retention": share, "max_visual_tokens": None}

    def _numbers(self, _: Sequence[str]) -> None:
        self._turns.numbers = not self._turns.numbers
        note(f"numbers are {'shown' if self._turns.numbers else 'left out'}")

    def _help(self, _: Sequence[str]) -> None:
        width = max(len(f"{name} {words}") for name, (words, _) in _HELP.items())
        note("\n".join(f"{f'{name} {words}':{width}}  {told}" for name, (words, told) in _HELP.items()))


def read(files: Sequence[str]) -> list[Picture]:
    """Raises Told."""
    if STDIN in files:
        raise Told(f"{IMAGE}: is -, but chat reads questions from stdin", option=IMAGE, hint="name a file")
    return [Picture(file, name_of(file), read_picture(file)) for file in files]


def check_count(count: int, limit: int, hint: str = "") -> None:
    """Raises Told where a conversation would hold more pictures than the service takes; `limit` 0 is not known."""
    if limit and count > limit:
        raise Told(
            f"{IMAGE}: there would be {count}; the limit is {limit}",
            option=IMAGE,
            hint=f"{MAX_IMAGES}; {hint}" if hint else MAX_IMAGES,
        )


def _listed(pictures: Sequence[Picture]) -> str:
    return ", ".join(picture.name for picture in pictures)
