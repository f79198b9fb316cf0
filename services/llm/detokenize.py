"""From token ids to text as it comes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

# What an incomplete character decodes to.
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
_LONGEST = 16


class Detokenizer:
    """Text of one answer, token by token: whole characters only, nothing of a stop string or after it.

    Args:
        tokenizer: the model's.
        stop: strings that end the answer.
    """

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._skipped = _skipped(tokenizer)
        self._ids: list[int] = []
        # Tokens before _read are in _decoded. Decoding starts a little earlier, at _start, because what a token
        # says (a space, half a character) can depend on the one before it.
        self._start = 0
        self._read = 0
        self._decoded = ""
        self._told = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that ``token`` makes certain; "" while more is needed. Sets ``stopped`` at a stop string."""
        if token in self._skipped:
            return ""
        self._ids.append(token)
        known, fresh = self._fresh()
        if not fresh and (known or len(self._ids) - self._start > _LONGEST):
            # It says nothing, so it need not be decoded again. But not where nothing is before it: a word's mark there
            # is what Llama's decoder takes away, and the next one's would go in its place.
            self._ids.pop()
            return ""
        # A character has four bytes at most: what is unfinished after many more tokens is broken, and stays so.
        pending = fresh.endswith(_UNFINISHED) and len(self._ids) - self._read <= _LONGEST
        if not pending:
            self._decoded += fresh
            if fresh:
                # Not for what says nothing: decoding from there would look like a beginning.
                self._start = self._read
            self._read = len(self._ids)
        return self._tell(len(self._decoded) - self._held_back())

    def finish(self) -> str:
        """What was held back, once no more tokens come; bytes that make no character come out as U+FFFD."""
        if self.stopped:
            return ""
        self._decoded += self._fresh()[1]
        return self._tell(len(self._decoded))

    def _fresh(self) -> tuple[str, str]:
        """Text of the tokens from _start to _read, and of those from _read on."""
        known, whole = (
            self._tokenizer.decode(ids, skip_special_tokens=True)
            for ids in (self._ids[self._start : self._read], self._ids[self._start :])
        )
        return known, whole[len(known) :]

    def _tell(self, end: int) -> str:
        found = [at for stop in self._stop if (at := self._decoded.find(stop, self._told)) >= 0]
        if found:
            self.stopped = True
            end = min(found)
        text = self._decoded[self._told : end]
        self._told = max(self._told, end)
        return text

    def _held_back(self) -> int:
        """Characters at the end that may be the beginning of a stop string."""
        longest = max((len(stop) - 1 for stop in self._stop), default=0)
        for length in range(min(longest, len(self._decoded) - self._told), 0, -1):
            if any(stop.startswith(self._decoded[-length:]) for stop in self._stop):
                return length
        return 0


@lru_cache(maxsize=4)
def _skipped(tokenizer: Any) -> frozenset[int]:
    """Ids that decoding leaves out as if they weren't there."""
    return frozenset(token for token, added in tokenizer.added_tokens_decoder.items() if added.special)
