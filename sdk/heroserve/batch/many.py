"""Bounded concurrency over a client, and no picture sent by two calls at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from heroserve.batch.first import First
from heroserve.client import Client
from heroserve.errors import HeroserveError
from heroserve.results import Answer
from heroserve.retry import RetryPolicy
from heroserve.streams import Stream
from heroserve.v1.chat_pb2 import GenerateRequest

T = TypeVar("T")

# For the client of a batch: it keeps to its own concurrency, so that waiting an overload out adds nothing to it, and it
# has the time that a call has.
PATIENT = RetryPolicy(attempts=1000, overload_share=1)


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of one item: an answer, or an error."""

    item: T
    answer: Answer | None = None
    error: HeroserveError | None = None


def ask_many(
    client: Client,
    items: Iterable[T],
    request: Callable[[T], GenerateRequest],
    *,
    concurrency: int = 8,
    timeout_s: float | None = None,
) -> Generator[Outcome[T], None, None]:
    """Ask about every item; outcomes come as they are done, in any order.

    A picture that several items share is sent by the first of them, and named by its digest from then on. Closing
    the iterator cancels what is in flight; whoever ends `items` early gets the outcomes of what is.

    Args:
        client: whose retry policy decides what is waited out; `PATIENT` is for this.
        items: taken one by one, when there is room for one.
        request: of an item; called in a thread, where it may read pictures. What it raises of HeroserveError becomes
            the item's error.
        concurrency: calls at a time, at least 1.
        timeout_s: of each call, as in `CallOptions`.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
    asking = _Asking(client, request, timeout_s)
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="heroserve-batch")
    pending: set[Future[Outcome[T]]] = set()
    try:
        for item in items:
            pending.add(pool.submit(asking.ask, item))
            if len(pending) >= concurrency:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in done)
    finally:
        asking.cancel()
        pool.shutdown(cancel_futures=True)


class _Asking(Generic[T]):
    """What the threads share."""

    def __init__(self, client: Client, request: Callable[[T], GenerateRequest], timeout_s: float | None) -> None:
        self._client = client
        self._request = request
        self._timeout_s = timeout_s
        self._first = First()
        self._lock = threading.Lock()
        self._streams: set[Stream] = set()
        self._over = False

    def ask(self, item: T) -> Outcome[T]:
        try:
            request = self._request(item)
            with self._first.of(request) as shown:
                stream = self._client.generate(request, timeout_s=self._timeout_s)
                self._begin(stream)
                try:
                    for _ in stream:
                        shown()
                    return Outcome(item, answer=stream.answer)
                finally:
                    self._end(stream)
        except HeroserveError as error:
            return Outcome(item, error=error)

    def cancel(self) -> None:
        """What is in flight ends, and what follows ends at once."""
        with self._lock:
            self._over = True
            for stream in self._streams:
                stream.close()

    def _begin(self, stream: Stream) -> None:
        with self._lock:
            self._streams.add(stream)
            if self._over:
                stream.close()

    def _end(self, stream: Stream) -> None:
        with self._lock:
            self._streams.discard(stream)
