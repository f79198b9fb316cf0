"""How tokens are to be drawn, in OpenAI's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heroserve import openai_body
from services.llm.doors.openai import fields
from services.llm.job import Sampling

# As gRPC has it.
MOST_TOKENS = (1 << 32) - 1


def sampling(body: Mapping[str, Any]) -> Sampling:
    """Null is the default.

    Raises:
        InvalidArgument: something is of the wrong kind; what is out of range is for the heart to tell.
    """
    name = openai_body.limit(body)
    most = body.get(name)
    temperature, top_p = body.get("temperature"), body.get("top_p")
    return Sampling(
        max_tokens=None if most is None else fields.whole(name, most, 1, MOST_TOKENS),
        # The service's default, and not OpenAI's 1: an answer to a question about a picture is looked up, not made up.
        temperature=0.0 if temperature is None else fields.number("temperature", temperature),
        top_p=1.0 if top_p is None else fields.number("top_p", top_p),
        seed=openai_body.seed("seed", body.get("seed"), fields.wrong),
        stop=_stops(body.get("stop")),
        ignore_eos=fields.flag("ignore_eos", body.get("ignore_eos")),
        json_schema=openai_body.schema("response_format", body.get("response_format"), fields.wrong),
    )


def _stops(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    if isinstance(stop, str):
        return (fields.text("stop", stop),)
    if not isinstance(stop, list):
        raise fields.wrong("stop", stop, "a string or an array of strings")
    return tuple(fields.text(f"stop[{i}]", each) for i, each in enumerate(stop))
