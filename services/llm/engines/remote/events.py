"""A server's stream of an answer, event by event."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from services.llm.engines.remote.failure import lost, untold
from services.llm.engines.remote.status import of_event

_DATA = b"data:"
_DONE = b"[DONE]"


@dataclass(frozen=True)
class Event:
    """What is new.

    Args:
        prompt: token ids of the whole prompt, told once, before the first token.
        tokens: of the answer.
        ended: no more of them will come.
        cached: tokens of the prompt that the server had already, told at the end; None where it does not tell.
    """

    prompt: tuple[int, ...] | None = None
    tokens: tuple[int, ...] = ()
    ended: bool = False
    cached: int | None = None


class Lines(Protocol):
    """A body that comes by lines."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...


async def events(server: str, lines: Lines) -> AsyncIterator[Event]:
    """Until the answer's end.

    Raises:
        Failure: the server tells of one, or the stream is none of vLLM's, or ends before the answer does.
    """
    ended = False
    async for line in lines:
        # What has no data keeps a connection alive, and blank lines end events.
        data = line.removeprefix(_DATA).strip()
        if not line.startswith(_DATA) or not data:
            continue
        if data == _DONE:
            # Nothing follows but the body's end, with which the connection can be used again.
            continue
        event = _event(server, data)
        ended = ended or event.ended
        yield event
    if not ended:
        raise lost(server, "it broke off its answer")


def _event(server: str, data: bytes) -> Event:
    try:
        chunk = json.loads(data)
        if "error" in chunk:
            raise of_event(server, chunk["error"])
        choices = chunk["choices"]
        return Event(
            prompt=_ids(chunk.get("prompt_token_ids")),
            tokens=tuple(token for choice in choices for token in _of_answer(server, choice)),
            ended=any(choice.get("finish_reason") for choice in choices),
            cached=_cached(chunk.get("usage")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise untold(server) from error


def _of_answer(server: str, choice: dict[str, Any]) -> tuple[int, ...]:
    tokens = _ids(choice.get("token_ids"))
    if tokens is None and choice["delta"].get("content"):
        raise untold(server)
    return tokens or ()


def _ids(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not all(type(token) is int for token in value):
        raise TypeError(value)
    return tuple(value)


def _cached(usage: Any) -> int | None:
    details = (usage or {}).get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens")
    return cached if type(cached) is int else None
