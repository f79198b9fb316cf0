"""Callers who begin long answers and leave in the middle."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import heroserve
from heroserve.errors import HeroserveError


@contextmanager
def leavers(target: str, count: int, pause_s: float, key: str | None = None) -> Iterator[None]:
    """So many at once, until it is left; each pauses for that long at most before it begins anew."""
    over = threading.Event()

    def leave(seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311
        with heroserve.Client(target, timeout_s=20, api_key=key) as client:
            while not over.wait(draw.uniform(0, pause_s)):
                number = draw.getrandbits(30)
                # Refused, perhaps: its place in line is what it took.
                with (
                    contextlib.suppress(HeroserveError),
                    client.stream(None, "Go on", max_tokens=500, temperature=2.0, seed=number) as stream,
                ):
                    list(itertools.islice(stream, draw.randrange(20)))

    threads = [threading.Thread(target=leave, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
