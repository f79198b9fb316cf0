"""A Redis that goes, hangs, is full, forgets, or gives back other bytes than were written."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from redis import Redis

from benchmarks.faults.fault import Fault
from scripts.stack import Stack

Happens = Callable[[Stack], AbstractContextManager[None]]

# So often everything that Redis holds is spoilt, once a second: what is mended in between is spoilt again.
_ROUNDS = 8


@contextmanager
def _killed(stack: Stack) -> Iterator[None]:
    stack.redis.kill()
    try:
        yield
    finally:
        stack.redis.start()


@contextmanager
def _frozen(stack: Stack) -> Iterator[None]:
    stack.redis.freeze()
    try:
        yield
    finally:
        stack.redis.thaw()


@contextmanager
def _full(stack: Stack) -> Iterator[None]:
    with _client(stack) as client:
        before = {**client.config_get("maxmemory"), **client.config_get("maxmemory-policy")}
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


@contextmanager
def _emptied(stack: Stack) -> Iterator[None]:
    stack.redis.restart()
    yield


def flip(client: Redis, draw: random.Random) -> None:
    """A byte of every entry, and of every entry's rows."""
    for key in _entries(client):
        data = client.get(key)
        if isinstance(data, bytes) and data:
            at = draw.randrange(len(data))
            client.setrange(key, at, bytes([data[at] ^ (1 << draw.randrange(8))]))


def swap(client: Redis, draw: random.Random) -> None:
    """Every entry gets another image's bytes under its name; its rows another's still, or that one's."""
    for suffix in (b":meta", b":rows"):
        keys = [key for key in _entries(client) if key.endswith(suffix)]
        draw.shuffle(keys)
        values = [client.get(key) for key in keys]
        for key, value in zip(keys, values[1:] + values[:1], strict=True):
            if isinstance(value, bytes):
                client.set(key, value, keepttl=True)


def _spoilt(spoil: Callable[[Redis, random.Random], None]) -> Happens:
    @contextmanager
    def happens(stack: Stack) -> Iterator[None]:
        draw = random.Random(0)  # noqa: S311
        with _client(stack) as client:
            for _ in range(_ROUNDS):
                spoil(client, draw)
                time.sleep(1)
        yield

    return happens


def redis_faults() -> list[Fault]:
    return [
        Fault("redis-killed", "Redis killed, back later and empty", _killed, lasts=True),
        Fault("redis-frozen", "SIGSTOP of Redis", _frozen, lasts=True),
        Fault("redis-full", "Redis without memory, no eviction", _full, lasts=True),
        Fault("redis-flipped", f"a bit of every entry in Redis flipped, {_ROUNDS} times", _spoilt(flip)),
        Fault("redis-swapped", f"all entries in Redis swapped, {_ROUNDS} times", _spoilt(swap)),
        Fault("redis-emptied", "Redis restarted, empty", _emptied),
    ]


def _client(stack: Stack) -> Redis:
    return Redis.from_url(stack.redis.url, socket_timeout=5)


def _entries(client: Redis) -> list[bytes]:
    """Names of what is stored of images, not of leases."""
    found = [key for key in client.scan_iter("heroserve:*", count=1000) if key.endswith((b":meta", b":rows"))]
    return sorted(found)
