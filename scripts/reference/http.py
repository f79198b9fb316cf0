"""What the HTTP ports serve."""

from __future__ import annotations

import inspect
import json
from typing import Any, cast

from fastapi import FastAPI

from heroserve.openai_fields import NEUTRAL
from scripts.reference.markdown import head, plain, table
from services.common.ingress.front import HEALTH
from services.llm.doors.openai.routes import application

_WORDS = """\
`HEROSERVE_HTTP_PORT` (encoder 8000, LLM service 8001). Errors, and the headers that come with them:
[errors](errors.md#over-http). What each field of a request means here, files, and images by their addresses:
[architecture](../architecture.md#openais-api)."""
_HEALTH = """
Of both services, without a key; a 503 has one
line that says what is wrong. `GET /-/healthz` is Ray's own. More: [operations](../operations.md#health).
"""
_SAYS = {
    "/readyz": "200 where a question to this proxy would be answered now; the LLM service's says so but for the "
    "encoder with `?exclude=encoder`",
    "/health": "the same, where clients and balancers of OpenAI's API ask for it",
}
_PAGE = """
`GET /` of the LLM service's is a page to ask on and to see what was kept, unless `HEROSERVE_PLAYGROUND` is `off`. The
page needs no key; what it asks does.
"""
_OPENAI = "\nThe LLM service's alone; with a key (`authorization: Bearer KEY`) where `HEROSERVE_API_KEYS` names any.\n"
_HEADERS = """
| header of a request | what it does |
| --- | --- |
| `authorization` | `Bearer KEY` |
| `x-request-id` | what the logs call the request; comes back with the answer, a new one where none was sent |
| `heroserve-timeout` | how long the caller waits, in seconds |
| `heroserve-scope` | whose images these are, within the caller's key |
| `traceparent` `tracestate` | W3C's: whose trace the request belongs to |
"""
_NEUTRAL = """
Fields of OpenAI's and of others' that would change an answer and are not served: with these values, or left
out, a request is taken; with another it is a 400 `unsupported_parameter`.
"""


def page() -> str:
    text = head("HTTP", "services/llm/doors/openai and services/common/ingress", _WORDS)
    text += f"\n## Health\n{_HEALTH}"
    text += table(("route", "what it says"), ((f"`GET {path}`", _SAYS[path]) for path in HEALTH))
    text += f"\n## The Playground\n{_PAGE}"
    text += f"\n## OpenAI's API\n{_OPENAI}{table(('route', 'what it does'), _routes(_app()))}{_HEADERS}"
    rows = ((f"`{name}`", ", ".join(f"`{json.dumps(value)}`" for value in values)) for name, values in _neutral())
    return text + f"\n## What is taken where it asks for nothing\n{_NEUTRAL}" + table(("field", "values"), rows)


def _app() -> FastAPI:
    """The application, with nothing behind it."""
    parts = cast(dict[str, Any], dict.fromkeys(inspect.signature(application).parameters))
    return application(**{**parts, "model": "model", "context_length": 1})


def _routes(app: FastAPI) -> list[tuple[str, str]]:
    """As FastAPI's OpenAPI has them.

    Raises:
        ValueError: a route without a docstring.
    """
    found = []
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if "description" not in operation:
                raise ValueError(f"services/llm/doors/openai/routes.py: {method.upper()} {path} has no docstring")
            found.append((f"`{method.upper()} {path}`", plain(operation["description"])))
    return found


def _neutral() -> list[tuple[str, tuple[object, ...]]]:
    return sorted(NEUTRAL.items())
