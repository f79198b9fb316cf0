"""What a server says in place of an answer, by HTTP's status."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from services.common.errors import FailedPrecondition, ResourceExhausted
from services.common.shown import one_line
from services.llm.engines.remote.failure import Failure, lost, set_up_wrong, unavailable
from services.llm.refusal import Refusal, Role

# Of a server's words, in a line of ours.
_SAID = 300
# Where a busy server gives no hint.
_AGAIN_S = 1.0
_KEY = "set HEROSERVE_VLLM_API_KEY to one of its keys"


def of_status(server: str, status: int, body: bytes, headers: Mapping[str, str], size: int) -> Failure:
    """From a response that is no answer.

    Args:
        server: its base URL.
        status: of HTTP.
        body: the beginning of it, at least.
        headers: its.
        size: bytes of the request.
    """
    said, param = _said(body)
    match status:
        case 400 | 422 if param in ("input_tokens", "max_tokens", "max_completion_tokens"):
            # Our own limit is the lowest that a server has told; one was started anew with a lower one since.
            return Failure(Refusal(Role("messages"), f"make a prompt that is too long for the server: {said}"))
        case 400 | 422 if "--enable-prompt-embeds" in said:
            return set_up_wrong(server, "it takes no embeddings; start it with --enable-prompt-embeds")
        case 400 | 422:
            return Failure(FailedPrecondition(f"vLLM at {server} refuses what it is sent: {said}"), refused=said)
        case 401 | 403:
            return set_up_wrong(server, f"it does not let this service in ({status}); {_KEY}")
        case 404:
            return set_up_wrong(
                server, f"it does not know what is asked for ({said}); its URL is to be what stands before /v1"
            )
        case 413:
            return Failure(
                FailedPrecondition(
                    f"vLLM at {server}, or a proxy before it, takes no request of {size} bytes; raise its limit, or "
                    "keep fewer visual tokens"
                )
            )
        case 429:
            words = f"vLLM at {server} has no room: {said}"
            return Failure(ResourceExhausted(words, _retry_after(headers), reason="engine"), unsent=True)
        case _ if 300 <= status < 400:
            return set_up_wrong(server, f"it sends requests elsewhere ({status}), which is not followed")
        case 502 | 503 | 504:
            return lost(server, f"it answers {status}: {said}", unsent=True)
        case _ if status >= 500:
            return Failure(unavailable(server, f"it answers {status}: {said}"))
    return set_up_wrong(server, f"it answers {status}, which no vLLM does: {said}")


def of_event(server: str, error: Any) -> Failure:
    """From an error within a stream, which began as an answer does."""
    body = json.dumps({"error": error}).encode()
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return of_status(server, status, body, {}, 0)


def _said(body: bytes) -> tuple[str, str]:
    """A server's words in a line, and the parameter that they are about."""
    text, param = body.decode(errors="replace"), ""
    try:
        error = json.loads(text)["error"]
        text = error["message"] if isinstance(error, dict) else error
        param = str(error.get("param") or "") if isinstance(error, dict) else ""
    except (KeyError, TypeError, ValueError):
        # Of something that stands before it: its page as it is.
        text = re.sub(r"<[^>]*>", " ", text)
    return one_line(" ".join(str(text).split()), _SAID) or "nothing", param


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return _AGAIN_S
    return seconds if math.isfinite(seconds) and seconds >= 0 else _AGAIN_S
