"""Whose trace work belongs to: W3C's trace context, taken and passed on always; spans only with an OTLP endpoint."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from services.common.settings import SettingError

# The first goes before the second.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# What of a URL is an address: a name, or one of IPv6 in brackets, with a port; or what gRPC itself resolves.
_ADDRESS = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?")
_TARGET = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6|vsock|xds):\S+")
_EXPORTER = "opentelemetry.exporter.otlp.proto.grpc"
# Version, trace, span, flags; a later version may go on behind them.
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]*)?")
_PARENT_CHARS = 55
_STATE = re.compile(r"[ -~]{0,512}")


@dataclass(frozen=True)
class Trace:
    """A place in somebody's trace: what begins here belongs under the span that ``parent`` names.

    Args:
        parent: a valid ``traceparent``.
        state: ``tracestate``, which belongs to it; may be empty.
    """

    parent: str
    state: str = ""

    @classmethod
    def parse(cls, parent: str, state: str = "") -> Trace | None:
        """From a caller's headers; None for a ``traceparent`` that is none, which W3C wants ignored."""
        later = not parent.startswith("00")
        if not _PARENT.fullmatch(parent) or (len(parent) > _PARENT_CHARS and not later):
            return None
        return cls(parent, state if _STATE.fullmatch(state) else "")

    @property
    def headers(self) -> dict[str, str]:
        """As the next service takes them."""
        return {"traceparent": self.parent} | ({"tracestate": self.state} if self.state else {})


class Span(Protocol):
    """A span that has begun."""

    @property
    def trace(self) -> Trace | None:
        """What begins under it belongs here; None outside every trace."""
        ...

    def end(self, error: str = "") -> None:
        """It is over; ``error`` says what went wrong, if anything did."""
        ...


class Spans(Protocol):
    """What makes spans and sends them away."""

    def begin(self, name: str, parent: Trace | None, *, request_id: str) -> Span: ...


@dataclass(frozen=True)
class _NoSpan:
    trace: Trace | None

    def end(self, error: str = "") -> None:
        """Nobody looks."""


class _NoSpans:
    def begin(self, name: str, parent: Trace | None, *, request_id: str) -> Span:
        return _NoSpan(parent)


_spans: Spans = _NoSpans()
_here: ContextVar[Trace | None] = ContextVar("heroserve.trace", default=None)


def here() -> Trace | None:
    """The place in a trace that the running code has; None outside every trace."""
    return _here.get()


def begin(name: str, parent: Trace | None, *, request_id: str = "") -> Span:
    """A span of this name under ``parent``, or in a trace of its own; with ``request_id`` that request's whole."""
    return _spans.begin(name, parent, request_id=request_id)


def go(trace: Trace | None) -> None:
    """What runs from here on, in this context, has this place."""
    _here.set(trace)


@contextmanager
def at(trace: Trace | None) -> Iterator[None]:
    """What runs within has this place."""
    before = _here.get()
    _here.set(trace)
    try:
        yield
    finally:
        # Not by a token: a stream may be closed in another context than it was begun in.
        _here.set(before)


def configure(service: str) -> None:
    """Send this process's spans where OTEL_EXPORTER_OTLP_ENDPOINT says; without it nothing of OpenTelemetry is loaded.

    Raises:
        SettingError: it is set, and the packages are not there.
    """
    global _spans
    if not wanted():
        return
    from services.common.otel import OtlpSpans

    _spans = OtlpSpans(service)


def wanted() -> bool:
    """Whether an OTLP endpoint is set.

    Raises:
        SettingError: it is, and can't be one, or the packages are not there.
    """
    variable = next((name for name in _ENDPOINTS if os.environ.get(name, "").strip()), None)
    if variable is None or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if not _is_endpoint(os.environ[variable]):
        raise SettingError(
            f"{variable}={os.environ[variable]!r}: expected http://host:port, https://host:port or host:port, of a "
            "receiver of OTLP over gRPC"
        )
    try:
        found = importlib.util.find_spec(_EXPORTER)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise SettingError(f"{variable} is set: spans need the extra 'otel' (pip install -e .[otel])")
    return True


def _is_endpoint(text: str) -> bool:
    """Whether the exporter could connect to it; it would take anything, and say nothing."""
    if _TARGET.fullmatch(text):
        return True
    scheme, separator, rest = text.lower().rpartition("://")
    # Of a path behind it the exporter knows nothing, and needs nothing.
    found = _ADDRESS.fullmatch(rest.partition("/")[0] if separator else rest)
    if not found or (separator and scheme not in ("http", "https")):
        return False
    # Only that of TLS is a port that somebody may mean without naming it.
    return 0 < int(found[2]) < 65536 if found[2] else scheme == "https"
