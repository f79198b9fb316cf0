"""What a server did in place of answering, and what our caller is told of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from services.common.errors import FailedPrecondition, ResourceExhausted, ServiceError, Unavailable
from services.common.shown import one_line, shown
from services.llm.refusal import Refusal, Role

# Of a server's words, in a line of ours.
_SAID = 300
_NEVER = -1.0
# Where a busy server gives no hint.
_AGAIN_S = 1.0
_KEY = "set HEROSERVE_VLLM_API_KEY to one of its keys"


class Failure(Exception):
    """A server has not answered.

    Args:
        error: what the caller is told, if no other server answers in its place.
        lost: it takes no requests now: it is left out until it does.
        unsent: it has not seen the request: any number of others may be asked. Else one: a request that ends servers
            must not end them all.
        refused: why it does not do what this request asks for; no other would.
    """

    def __init__(
        self, error: ServiceError | Refusal, *, lost: bool = False, unsent: bool = False, refused: str = ""
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.lost = lost
        self.unsent = unsent
        self.refused = refused

    @property
    def passes(self) -> bool:
        """By itself, as far as can be told."""
        return isinstance(self.error, (ResourceExhausted, Unavailable))

    @property
    def public(self) -> str:
        """For everybody to read: no addresses."""
        if self.passes:
            return "vLLM does not answer"
        return "vLLM serves something else than this service, or in another way; the log of the service says what"


def unavailable(server: str, problem: str) -> Unavailable:
    """It was tried elsewhere, where there is an elsewhere: callers are told to try no more."""
    error = Unavailable(f"vLLM at {server}: {problem}")
    error.retry_after_s = _NEVER
    return error


def lost(server: str, problem: str, *, unsent: bool = False) -> Failure:
    """It does not answer, or broke off."""
    return Failure(unavailable(server, problem), lost=True, unsent=unsent)


def set_up_wrong(server: str, problem: str) -> Failure:
    """It answers, and will never answer this; another may be set up as it should."""
    return Failure(FailedPrecondition(f"vLLM at {server}: {problem}"), lost=True, unsent=True)


def another(server: str, differs: str) -> Failure:
    """It has made another prompt than ours of a request, which may be the request's doing: it is asked again what it
    serves, and not left out until then."""
    return Failure(
        FailedPrecondition(
            f"vLLM at {server}: it serves another model, tokenizer or chat template than HEROSERVE_MODEL's: {differs}; "
            "serve what `python -m services.llm.export` writes"
        )
    )


def another_one(server: str, told: str, own: str) -> Failure:
    """Its language model is of another checkpoint."""
    return set_up_wrong(
        server,
        f"its language model is of another checkpoint than HEROSERVE_MODEL ({shown(told)} there, {own!r} here); "
        "serve what `python -m services.llm.export` writes of the same hub id, or of the same folder",
    )


def untold(server: str) -> Failure:
    """What it made of a request nobody knows."""
    return set_up_wrong(server, "it does not tell token ids as vLLM does; it must be vLLM 0.29 or newer")


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
            return set_up_wrong(server, f"it does not know what is asked for ({said})")
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
