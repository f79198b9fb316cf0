"""How an answer is drawn, in the fields of vLLM's chat requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.llm.job import Sampling

# What JSON can't say; it is vLLM's lowest, and no logit comes near.
_NEVER = -100.0
# That it takes in a request.
_MOST_STOPS = 4
# Of SamplingParams, what no request has a field for.
_NO_FIELD = ("detokenize",)


def chat_fields(drawn: Mapping[str, Any], sampling: Sampling) -> dict[str, Any]:
    """Args:
    drawn: arguments of ``SamplingParams``, see ``Drawing.params``.
    sampling: of the request.
    """
    fields = {name: value for name, value in drawn.items() if value is not None and name not in _NO_FIELD}
    if "logit_bias" in fields:
        fields["logit_bias"] = {str(token): max(bias, _NEVER) for token, bias in fields["logit_bias"].items()}
    if sampling.stop:
        # Who reads the text looks for all of them.
        fields["stop"] = list(sampling.stop[:_MOST_STOPS])
    if sampling.json_schema is not None:
        schema = {"name": "answer", "schema": json.loads(sampling.json_schema)}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields
