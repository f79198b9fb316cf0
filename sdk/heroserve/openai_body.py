"""What the body of a chat completion of OpenAI's says, read alike by the service's door and off a line of a batch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from heroserve.json_values import Wrong, mapping, whole

Role = Literal["system", "user", "assistant"]

_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Of a part that is a text, by its type, what holds it: as its newer API, and others, call it too.
TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
# As /v1/files gave it. Some programs know an id by how OpenAI's begin, and put that before it.
_ID = re.compile(r"(?:file-)?([0-9a-f]{64})")
# As gRPC has them; signed ones are taken as the bits that they are.
_LEAST_SEED, _MOST_SEED = -(1 << 63), (1 << 64) - 1


def turn(
    field: str, message: object, wrong: Wrong, refused: Callable[[str, str], Exception]
) -> tuple[Role, str | list[Any]]:
    """Who says it, and what: a text, or parts.

    Args:
        field: of the message.
        message: as it came.
        wrong: makes the error of a value.
        refused: makes the error of a field, and what is wrong with it.
    """
    if not isinstance(message, dict):
        raise wrong(field, message, "a message, which is an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise wrong(f"{field}.role", role, "system, developer, user or assistant")
    if message.get("tool_calls") or message.get("function_call"):
        raise refused(f"{field}.tool_calls", "are not served: the model calls no tools")
    content = message.get("content")
    if content is None and role == "assistant":
        # As an answer that says nothing comes back.
        content = ""
    if not isinstance(content, str | list):
        raise wrong(f"{field}.content", content, "a string or an array of parts")
    return _ROLES[role], content


def file_digest(text: str) -> str | None:
    """The SHA-256 that an id of a file is, in hex; None for what is no id of ours."""
    found = _ID.fullmatch(text)
    return found[1] if found else None


def limit(body: Mapping[str, Any]) -> str:
    """What the length of an answer is called; the newer name counts where both are sent, as some clients do."""
    return "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"


def seed(field: str, value: object, wrong: Wrong) -> int | None:
    """Null is none."""
    return None if value is None else whole(field, value, _LEAST_SEED, _MOST_SEED, wrong) & _MOST_SEED


def schema(field: str, wanted: object, wrong: Wrong) -> str | None:
    """The JSON Schema of a `response_format`, as JSON; None for text, which nobody need ask for."""
    form = mapping(field, wanted, wrong)
    match form.get("type"):
        case "text":
            return None
        case None if not form:
            return None
        case "json_object":
            return json.dumps({"type": "object"})
        case "json_schema":
            found = mapping(f"{field}.json_schema", form.get("json_schema"), wrong).get("schema")
            if not isinstance(found, dict):
                raise wrong(f"{field}.json_schema.schema", found, "a JSON Schema, which is an object")
            return json.dumps(found)
    raise wrong(f"{field}.type", form.get("type"), "text, json_object or json_schema")
