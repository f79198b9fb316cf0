"""Of calls that bring the same picture at once, the first goes ahead; the others can then name it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from heroserve.digests import SentImages, digest_of, images_of
from heroserve.v1.chat_pb2 import GenerateRequest


class First:
    """Who goes ahead with which pictures. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going: dict[str, threading.Event] = {}
        self._shown = SentImages()

    @contextmanager
    def of(self, request: GenerateRequest) -> Iterator[Callable[[], None]]:
        """Waits for those that went ahead with a picture of this one; what it gives is called once these are there."""
        digests = {digest_of(image) for image in images_of(request)}
        with self._lock:
            before = [self._going[digest] for digest in digests if digest in self._going]
            ours = [digest for digest in digests if digest not in self._going and digest not in self._shown]
            going = threading.Event()
            self._going.update(dict.fromkeys(ours, going))
        # Each waits for earlier ones alone, so that nobody waits for who waits for him.
        for each in before:
            each.wait()

        def shown() -> None:
            if not going.is_set():
                self._pass(ours, going, there=True)

        try:
            yield shown
        finally:
            if not going.is_set():
                self._pass(ours, going, there=False)

    def _pass(self, digests: list[str], going: threading.Event, *, there: bool) -> None:
        with self._lock:
            for digest in digests:
                del self._going[digest]
            if there:
                self._shown.remember(digests)
        going.set()
