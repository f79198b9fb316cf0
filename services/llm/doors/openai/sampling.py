"""How tokens are to be drawn, in OpenAI's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.llm.doors.openai import fields
from services.llm.job import Sampling

# As gRPC has them.
MOST_TOKENS, _MOST_SEED = (1 << 32) - 1, (1 << 64) - 1


def sampling(body: Mapping[str, Any]) -> Sampling:
    """Null is the default.

    Raises:
        InvalidArgument: something is of the wrong kind; what is out of range is for the heart to tell.
    """
    name = limit(body)
    most, seed = body.get(name), body.get("seed")
    temperature, top_p = body.get("temperature"), body.get("top_p")
    return Sampling(
        max_tokens=None if most is None else fields.whole(name, most, 1, MOST_TOKENS),
        # The service's default, and not OpenAI's 1: an answer to a question about a picture is looked up, not made up.
        temperature=0.0 if temperature is None else fields.number("temperature", temperature),
        top_p=1.0 if top_p is None else fields.number("top_p", top_p),
        # Signed ones are taken as the bits that they are.
        seed=None if seed is None else fields.whole("seed", seed, -(1 << 63), _MOST_SEED) & _MOST_SEED,
        stop=_stops(body.get("stop")),
        ignore_eos=fields.flag("ignore_eos", body.get("ignore_eos")),
        json_schema=_schema(body.get("response_format")),
    )


def limit(body: Mapping[str, Any]) -> str:
    """The newer name counts where both are sent, as some clients do."""
    return "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"


def _stops(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    if isinstance(stop, str):
        return (fields.text("stop", stop),)
    if not isinstance(stop, list):
        raise fields.wrong("stop", stop, "a string or an array of strings")
    return tuple(fields.text(f"stop[{i}]", each) for i, each in enumerate(stop))


def _schema(wanted: object) -> str | None:
    """Text is what nobody need ask for."""
    form = fields.mapping("response_format", wanted)
    kind = form.get("type")
    match kind:
        case "text":
            return None
        case None if not form:
            return None
        case "json_object":
            return json.dumps({"type": "object"})
        case "json_schema":
            asked = fields.mapping("response_format.json_schema", form.get("json_schema"))
            schema = asked.get("schema")
            if not isinstance(schema, dict):
                raise fields.wrong("response_format.json_schema.schema", schema, "a JSON Schema, which is an object")
            return json.dumps(schema)
    raise fields.wrong("response_format.type", kind, "text, json_object or json_schema")
