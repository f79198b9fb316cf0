"""What clients send that is not served here: taken where it asks for nothing, refused by name where it would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heroserve.openai_fields import unsupported
from services.common.http_call import HttpError
from services.llm.doors.openai.fields import kind


def check(body: Mapping[str, Any]) -> None:
    """Raises:
    HttpError: something in a request would change its answer, and is not served.
    """
    if found := unsupported(body):
        field, why = found
        raise HttpError(400, "unsupported_parameter", field, f"is {kind(body.get(field))}; {why}. Leave it out")
