"""A file of questions, line by line: ours and OpenAI's batch format, told apart by their keys.

Ours is {"image": "scene.png", "question": "..."}; `id`, `images` in place of `image`, `system`, `answer` or `answers`
with `match`, `metadata` and the keys of `GenerateOptions` may stand beside. Paths are relative to the file's folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, cast, get_args

from heroserve.batch.json_line import mapping, read_object, text, wrong
from heroserve.batch.lines import LONGEST, Line
from heroserve.batch.openai_line import is_openai, parse_openai
from heroserve.batch.question import BadLine, Format, Piece, Question, Turn
from heroserve.curve.matching import Rule
from heroserve.errors import ArgumentError
from heroserve.json_values import integral
from heroserve.requests import GenerateOptions

MATCHES = get_args(Rule)
# Of one turn there is nothing to plan again.
_OPTIONS = tuple(name for name in GenerateOptions.__annotations__ if name != "replan")
_OWN = ("id", "image", "images", "question", "system", "answer", "answers", "match", "metadata")
_WHOLE = ("max_tokens", "max_visual_tokens", "seed")


def read_questions(lines: Iterable[Line], folder: str, model: str = "") -> Iterator[Question | BadLine]:
    """In order; a bad line costs itself alone. Of two with one id the second is bad.

    Args:
        lines: of the file.
        folder: that paths are relative to.
        model: what the service says it runs; "" takes every name in a line of OpenAI's.
    """
    seen: dict[Any, int] = {}
    for line in lines:
        key = hashlib.sha256(line.data).hexdigest()[:16]
        name: Any = None
        shape: Format = "heroserve"
        try:
            fields = _fields(line)
            shape = "openai" if is_openai(fields) else "heroserve"
            called = "custom_id" if shape == "openai" else "id"
            name = _name(called, fields.get(called))
            question = (parse_openai if shape == "openai" else _parse)(fields, line.number, key, folder)
            question = replace(question, expected=expected(fields), match=_match(fields))
            _check_model(question, model)
            _check_once(called, name, line.number, seen)
            yield question
        except ArgumentError as error:
            yield BadLine(line.number, key, error, name, shape)


def _fields(line: Line) -> dict[str, Any]:
    if line.too_long:
        raise ArgumentError(f"is of {line.size} bytes; the limit is {LONGEST}")
    return read_object(line.data)


def _check_model(question: Question, model: str) -> None:
    asked = question.told.get("model", model) if model else model
    # A folder's name is what its last part is to OpenAI's clients.
    name = model.rpartition("/")[2]
    if asked not in (model, name):
        raise ArgumentError(f"body.model: is {asked[:80]!r}; {name!r} is served here")


def _check_once(called: str, name: Any, number: int, seen: dict[Any, int]) -> None:
    if name is not None and (before := seen.setdefault((called, name), number)) != number:
        raise ArgumentError(f"{called}: is that of line {before} too")


def _parse(fields: dict[str, Any], number: int, key: str, folder: str) -> Question:
    for name in fields:
        if name not in _OWN and name not in _OPTIONS:
            known = "image, images, question, system, id, answer, answers, match, metadata"
            raise ArgumentError(
                f"{name[:60]}: is no key of a question; they are {known} and options of an answer "
                f"({', '.join(_OPTIONS)}); what is your own goes into metadata"
            )
    asked = text("question", fields.get("question"))
    if not asked.strip():
        raise ArgumentError("question: is empty; it decides which visual tokens are kept")
    pictures = _pictures(fields, folder)
    turns: tuple[Turn, ...] = (Turn("USER", (*pictures, Piece("question", asked)), "question"),)
    if fields.get("system") is not None:
        turns = (Turn("SYSTEM", (Piece("system", text("system", fields["system"])),), "system"), *turns)
    given = {name: fields[name] for name in _OPTIONS if fields.get(name) is not None}
    repeated: dict[str, Any] = {
        name: fields[name] for name in ("image", "images", "question", "metadata") if name in fields
    }
    return Question(
        line=number,
        key=key,
        id=fields.get("id"),
        turns=turns,
        options=cast(GenerateOptions, {each: integral(v) if each in _WHOLE else v for each, v in given.items()}),
        told=_short(repeated),
    )


def expected(fields: dict[str, Any]) -> tuple[str, ...]:
    """The right answers that a line names. Raises ArgumentError for what is none."""
    one, several = fields.get("answer"), fields.get("answers")
    if one is not None and several is not None:
        raise ArgumentError("answers: stands beside answer; give one of the two")
    name, found = ("answer", one) if several is None else ("answers", several)
    if found is None:
        return ()
    listed = found if isinstance(found, list) else [found]
    if not listed or any(isinstance(each, bool | dict | list) or each is None for each in listed):
        raise wrong(name, found, "a string, a number or a list of them that are right")
    texts = tuple(each if isinstance(each, str) else repr(each) for each in listed)
    if any(not each.strip() for each in texts):
        raise ArgumentError(f"{name}: is empty")
    return texts


def _match(fields: dict[str, Any]) -> str:
    match = fields.get("match")
    if match is not None and match not in MATCHES:
        raise wrong("match", match, f"one of {', '.join(MATCHES)}")
    return match or ""


def _pictures(fields: dict[str, Any], folder: str) -> tuple[Piece, ...]:
    if "images" in fields and "image" in fields:
        raise ArgumentError("images: stands beside image; give one of the two")
    if "images" in fields:
        several = fields["images"]
        if not isinstance(several, list):
            raise wrong("images", several, "an array of paths or data: URLs")
        return tuple(_picture(f"images[{at}]", each, folder) for at, each in enumerate(several))
    if "image" not in fields:
        raise ArgumentError("image: is missing; it is a path or a data: URL, or null for a question about none")
    return () if fields["image"] is None else (_picture("image", fields["image"], folder),)


def _picture(name: str, value: object, folder: str) -> Piece:
    source = text(name, value)
    if not source:
        raise ArgumentError(f"{name}: the path is empty")
    return Piece.of_picture(name, source, folder)


def _name(called: str, value: object) -> object:
    if isinstance(value, bool | dict | list | float):
        raise wrong(called, value, "a string or a whole number")
    return value


def _short(repeated: dict[str, Any]) -> dict[str, Any]:
    """Without pictures themselves, which are megabytes."""

    def short(source: object) -> object:
        if isinstance(source, str) and source[:5].lower() == "data:":
            return f"{source[:40].partition(',')[0]},... ({len(source)} characters)"
        return source

    if "images" in repeated:
        repeated["images"] = [short(each) for each in repeated["images"]]
    if "image" in repeated:
        repeated["image"] = short(repeated["image"])
    mapping("metadata", repeated.get("metadata"))
    return repeated
