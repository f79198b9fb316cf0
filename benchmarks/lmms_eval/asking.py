"""One request over HTTP, with no proxy of the environment's: its status and its body, whichever it is."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class UnansweredError(Exception):
    """Nobody has answered; the message says why."""


def ask(
    url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None, timeout_s: float = 30.0
) -> tuple[int, bytes, str]:
    """Status, body and its type.

    Args:
        url: of http or https.
        data: of a POST; None for a GET.
        headers: of the request.
        timeout_s: longest that the other side may say nothing.

    Raises:
        UnansweredError: there is no answer.
    """
    request = urllib.request.Request(url, data, dict(headers or {}))  # noqa: S310 - the options want http or https
    try:
        with _OPENER.open(request, timeout=timeout_s) as answer:
            return answer.status, answer.read(), answer.headers.get("content-type", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers.get("content-type", "")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UnansweredError(f"{url} can't be asked: {reason or type(error).__name__}") from error
