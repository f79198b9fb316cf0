"""Tokens of the prompts that an engine has: of those that it works on, and of those that it has no room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class _Prompt:
    tokens: int
    read: bool = False


class PromptsHeld:
    """Of one replica. An engine tells how many requests wait, and none tells which: they are taken in their order."""

    def __init__(self) -> None:
        # By arrival.
        self._held: dict[_Prompt, None] = {}

    @contextmanager
    def prompt(self, tokens: int) -> Iterator[Callable[[], None]]:
        """While an engine has a prompt of so many tokens; to be called when it has been read."""
        prompt = _Prompt(tokens)
        self._held[prompt] = None

        def read() -> None:
            prompt.read = True

        try:
            yield read
        finally:
            del self._held[prompt]

    def tokens(self, waiting: int) -> tuple[int, int]:
        """Of those that wait, and of the others.

        Args:
            waiting: requests that the engine says wait: the last of those whose prompt has not been read, and where
                these are fewer, the last of the others, which had to make room again.
        """
        # As they came, so that sorting puts the last first, and those that have been read behind.
        last_first = sorted(enumerate(self._held), key=lambda held: (held[1].read, -held[0]))
        sizes = [prompt.tokens for _, prompt in last_first]
        return sum(sizes[:waiting]), sum(sizes[waiting:])
