"""A line of OpenAI's batch files: {"custom_id", "method", "url", "body"}, with the body of a chat completion.

What would change the answer and is not served is refused, as by the service's own door for such requests.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Literal, cast

from heroserve.batch.json_line import kind, mapping, text, whole, wrong
from heroserve.batch.question import BUDGETS, Piece, Question, Turn
from heroserve.errors import ArgumentError
from heroserve.openai_fields import unsupported
from heroserve.requests import GenerateOptions

URL = "/v1/chat/completions"
_ROLES: dict[str, Literal["SYSTEM", "USER", "ASSISTANT"]] = {
    "system": "SYSTEM",
    "developer": "SYSTEM",
    "user": "USER",
    "assistant": "ASSISTANT",
}
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_ID = re.compile(r"(?:file-)?([0-9a-f]{64})")
_KNOBS = (*BUDGETS, "replan", "share_budget", "explain")
_LEAST_SEED, _MOST_SEED = -(1 << 63), (1 << 64) - 1


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
    limit = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    model = body.get("model")
    return Question(
        line=number,
        key=key,
        id=fields["custom_id"],
        turns=tuple(_turn(f"body.messages[{at}]", each, folder) for at, each in enumerate(messages)),
        options=_options(body, limit),
        told={} if model in (None, "") else {"model": text("body.model", model)},
        format="openai",
        names={
            **{name: f"body.heroserve.{name}" for name in _KNOBS},
            **{name: f"body.{name}" for name in ("temperature", "top_p", "seed", "stop")},
            "json_schema": "body.response_format",
            "max_tokens": f"body.{limit}",
        },
    )


def _turn(name: str, message: object, folder: str) -> Turn:
    if not isinstance(message, dict):
        raise wrong(name, message, "a message, which is an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise wrong(f"{name}.role", role, "system, developer, user or assistant")
    if message.get("tool_calls") or message.get("function_call"):
        raise ArgumentError(f"{name}.tool_calls: are not served: the model calls no tools")
    content = message.get("content")
    if content is None and role == "assistant":
        content = ""
    if isinstance(content, str):
        return Turn(_ROLES[role], (Piece(f"{name}.content", content),), f"{name}.content")
    if not isinstance(content, list):
        raise wrong(f"{name}.content", content, "a string or an array of parts")
    pieces = tuple(_piece(f"{name}.content[{at}]", part, folder) for at, part in enumerate(content))
    return Turn(_ROLES[role], pieces, f"{name}.content")


def _piece(name: str, part: object, folder: str) -> Piece:
    if isinstance(part, str):
        return Piece(name, part)
    if not isinstance(part, dict):
        raise wrong(name, part, "a part, which is an object")
    what = part.get("type")
    if isinstance(what, str) and what in _TEXTS:
        return Piece(f"{name}.{_TEXTS[what]}", text(f"{name}.{_TEXTS[what]}", part.get(_TEXTS[what])))
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
    if digest := _ID.fullmatch(source):
        return Piece(name, picture=True, digest=digest[1])
    if source[:5].lower() == "data:" or "://" in source[:20]:
        return Piece(name, source, picture=True)
    if not source:
        raise ArgumentError(f"{name}: is empty; it must be a data: URL, a path, or an id that /v1/files gave")
    # Ours: a file beside the questions, which need not be written into them.
    return Piece(name, os.path.join(folder, source), picture=True)


def _options(body: dict[str, Any], limit: str) -> GenerateOptions:
    found = mapping("body.heroserve", body.get("heroserve"))
    knobs = {name: value for name, value in found.items() if value is not None}
    for name in knobs:
        if name not in _KNOBS:
            raise ArgumentError(f"body.heroserve.{name[:60]}: is no option; {', '.join(_KNOBS)} are")
    seed = whole(body.get("seed"))
    if seed is not None:
        if isinstance(seed, bool) or not isinstance(seed, int) or not _LEAST_SEED <= seed <= _MOST_SEED:
            raise wrong("body.seed", seed, f"a whole number from {_LEAST_SEED} to {_MOST_SEED}")
        seed &= _MOST_SEED  # signed ones are taken as the bits that they are
    given = {
        **{name: whole(value) if name == "max_visual_tokens" else value for name, value in knobs.items()},
        "max_tokens": whole(body.get(limit)),
        "temperature": body.get("temperature"),
        "top_p": body.get("top_p"),
        "seed": seed,
        "stop": body.get("stop"),
        "json_schema": _schema(body.get("response_format")),
    }
    return cast(GenerateOptions, {name: value for name, value in given.items() if value is not None})


def _schema(wanted: object) -> str | None:
    form = mapping("body.response_format", wanted)
    match form.get("type"):
        case "text":
            return None
        case None if not form:
            return None
        case "json_object":
            return json.dumps({"type": "object"})
        case "json_schema":
            schema = mapping("body.response_format.json_schema", form.get("json_schema")).get("schema")
            if not isinstance(schema, dict):
                raise wrong("body.response_format.json_schema.schema", schema, "a JSON Schema, which is an object")
            return json.dumps(schema)
    raise wrong("body.response_format.type", form.get("type"), "text, json_object or json_schema")
