"""What goes along with a request, as callers should not send it."""

from __future__ import annotations

import numpy as np

from benchmarks.fuzz.wire import Header

_NAMES = (
    b"authorization",
    b"application",
    b"request_id",
    b"traceparent",
    b"tracestate",
    b"heroserve-scope",
    b"heroserve-deadline",
    b"heroserve-method",
    b"heroserve-refused",
    b"multiplexed_model_id",
    b"session_id",
    b"grpc-timeout",
    b"grpc-encoding",
    b"x-odd",
    b"x-odd-bin",
)
_VALUES = (
    b"",
    b" ",
    b"0",
    b"-1",
    b"nan",
    b"1e999",
    b"inf",
    b"99999999H",
    b"0n",
    b"gzip",
    b"llm",
    b"encoder",
    b"default",
    b"Bearer",
    b"bearer ",
    b"Bearer wrong",
    b"Basic " + b"A" * 40,
    b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
    b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-ff",
    b"ff-zz-1-0",
    b"INTERNAL=999999999 OK=1 NOBODY=3",
    b"/heroserve.v1.VisionEncoder/Encode",
    b"../../etc/passwd",
    b"%0d%0a%00",
    b"'; drop table --",
    b"{{7*7}}${jndi:x}",
    b"a" * 129,
    b"a" * 5000,
    "schlüssel".encode(),
    "\uff10".encode() * 8,
)
# What HTTP/2 forbids, and headers that gRPC itself reads: it says so in its own words, INTERNAL among them.
_ILLEGAL = (b"a\r\nb: c", b"\0", b"\x7f\x80\xff", b"\n")
_GRPCS = (b"grpc-timeout", b"grpc-encoding", b"x-odd-bin")


def headers(random: np.random.Generator, application: str, key: str) -> tuple[list[Header], bool]:
    """Those of a call with a good key, three in ten of them bent; and whether HTTP/2 and gRPC allow all of it."""
    found: list[Header] = [
        (b"application", application.encode()),
        (b"authorization", b"Bearer " + key.encode()),
        (b"grpc-timeout", b"10S"),
    ]
    sane = True
    if random.random() < 0.3:
        name = _NAMES[random.integers(len(_NAMES))]
        value = _VALUES[random.integers(len(_VALUES))]
        if random.random() < 0.1:
            value, sane = _ILLEGAL[random.integers(len(_ILLEGAL))], False
        sane = sane and name not in _GRPCS
        if random.random() < 0.7:
            found = [(known, said) for known, said in found if known != name]
        if random.random() < 0.9:
            found.append((name, value))
    return found, sane
