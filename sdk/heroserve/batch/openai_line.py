"""A line of OpenAI's batch files: {"custom_id", "method", "url", "body"}, with the body of a chat completion.

What would change the answer and is not served is refused, as by the service's own door for such requests.
"""

from __future__ import annotations

from typing import Any, cast

from heroserve.batch.json_line import kind, mapping, refused, text, wrong
from heroserve.batch.question import BUDGETS, Piece, Question, Speaker, Turn
from heroserve.errors import ArgumentError
from heroserve.json_values import integral
from heroserve.openai_body import TEXTS, Role, file_digest, limit, schema, seed, turn
from heroserve.openai_fields import unsupported
from heroserve.requests import GenerateOptions

URL = "/v1/chat/completions"
_ROLES: dict[Role, Speaker] = {"system": "SYSTEM", "user": "USER", "assistant": "ASSISTANT"}
_KNOBS = (*BUDGETS, "replan", "share_budget", "explain")


def is_openai(fields: dict[str, Any]) -> bool:
    return "custom_id" in fields or "body" in fields


def parse_openai(fields: dict[str, Any], number: int, key: str, folder: str) -> Question:
    """Raises ArgumentError, which begins with the field."""
    if not isinstance(fields.get("custom_id"), str) or not fields["custom_id"]:
        raise wrong("custom_id", fields.get("custom_id"), "a string, which names the answer")
    if fields.get("method", "POST") != "POST":
        raise wrong("method", fields["method"], "POST")
    if fields.get("url", URL) != URL:
        raise wrong("url", fields["url"], f"{URL}, which alone is answered")
    if not isinstance(fields.get("body"), dict):
        raise wrong("body", fields.get("body"), "an object, the request")
    body = fields["body"]
    if found := unsupported(body):
        raise ArgumentError(f"body.{found[0]}: is {kind(body[found[0]])}; {found[1]}. Leave it out")
    for name, why in (("stream", "answers of a batch come whole"), ("ignore_eos", "it is not served in a batch")):
        if body.get(name):
            raise ArgumentError(f"body.{name}: is {kind(body[name])}; {why}. Leave it out")
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise wrong("body.messages", messages, "an array of messages")
    if not messages:
        raise ArgumentError("body.messages: is empty; one message at least asks something")
    length = limit(body)
    model = body.get("model")
    return Question(
        line=number,
        key=key,
        id=fields["custom_id"],
        turns=tuple(_turn(f"body.messages[{at}]", each, folder) for at, each in enumerate(messages)),
        options=_options(body, length),
        told={} if model in (None, "") else {"model": text("body.model", model)},
        format="openai",
        names={
            **{name: f"body.heroserve.{name}" for name in _KNOBS},
            **{name: f"body.{name}" for name in ("temperature", "top_p", "seed", "stop")},
            "json_schema": "body.response_format",
            "max_tokens": f"body.{length}",
        },
    )


def _turn(name: str, message: object, folder: str) -> Turn:
    role, content = turn(name, message, wrong, refused)
    named = f"{name}.content"
    if isinstance(content, str):
        return Turn(_ROLES[role], (Piece(named, content),), named)
    return Turn(_ROLES[role], tuple(_piece(f"{named}[{at}]", part, folder) for at, part in enumerate(content)), named)


def _piece(name: str, part: object, folder: str) -> Piece:
    if isinstance(part, str):
        return Piece(name, part)
    if not isinstance(part, dict):
        raise wrong(name, part, "a part, which is an object")
    what = part.get("type")
    if isinstance(what, str) and what in TEXTS:
        return Piece(f"{name}.{TEXTS[what]}", text(f"{name}.{TEXTS[what]}", part.get(TEXTS[what])))
    if what in ("image_url", "input_image"):
        return _picture(f"{name}.image_url", part.get("image_url", part.get("file_id")), ("url", "file_id"), folder)
    if what in ("file", "image_file"):
        return _picture(f"{name}.{what}", part.get(what), ("file_data", "file_id"), folder)
    raise wrong(f"{name}.type", what, "text, image_url or file")


def _picture(name: str, found: object, keys: tuple[str, ...], folder: str) -> Piece:
    if isinstance(found, dict):
        key = next((each for each in keys if found.get(each) is not None), keys[0])
        name, found = f"{name}.{key}", found.get(key)
    source = text(name, found).strip()
    if digest := file_digest(source):
        return Piece(name, picture=True, digest=digest)
    if not source:
        raise ArgumentError(f"{name}: is empty; it must be a data: URL, a path, or an id that /v1/files gave")
    # A path is ours: a file beside the questions, which need not be written into them.
    return Piece.of_picture(name, source, folder)


def _options(body: dict[str, Any], length: str) -> GenerateOptions:
    found = mapping("body.heroserve", body.get("heroserve"))
    knobs = {name: value for name, value in found.items() if value is not None}
    for name in knobs:
        if name not in _KNOBS:
            raise ArgumentError(f"body.heroserve.{name[:60]}: is no option; {', '.join(_KNOBS)} are")
    given = {
        **{name: integral(value) if name == "max_visual_tokens" else value for name, value in knobs.items()},
        "max_tokens": integral(body.get(length)),
        "temperature": body.get("temperature"),
        "top_p": body.get("top_p"),
        "seed": seed("body.seed", body.get("seed"), wrong),
        "stop": body.get("stop"),
        "json_schema": schema("body.response_format", body.get("response_format"), wrong),
    }
    return cast(GenerateOptions, {name: value for name, value in given.items() if value is not None})
