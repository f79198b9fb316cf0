"""From token ids to text as it comes."""

from __future__ import annotations

from typing import Any

from tokenizers.decoders import DecodeStream


class Detokenizer:
    """Text of one answer, token by token: whole characters only, nothing of a stop string or after it.

    Args:
        tokenizer: the model's, fast.
        stop: strings that end the answer.
    """

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._decoded = ""
        self._told = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that ``token`` makes certain; "" while more is needed. Sets ``stopped`` at a stop string."""
        self._ids.append(token)
        self._decoded += self._stream.step(self._tokenizer.backend_tokenizer, token) or ""
        return self._tell(len(self._decoded) - self._held_back())

    def finish(self) -> str:
        """What was held back, once no more tokens come; bytes that make no character come out as U+FFFD."""
        if self.stopped:
            return ""
        whole: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        if whole.startswith(self._decoded):
            self._decoded = whole
        return self._tell(len(self._decoded))

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
