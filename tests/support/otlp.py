"""A real OTLP receiver in this process: what a collector would be sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class Span:
    """As it arrived: ids in hex, ``parent`` empty for the first of its trace, times in Unix nanoseconds."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    request_id: str
    failed: bool
    start: int
    end: int


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span it is sent."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._lock = threading.Lock()
        self.endpoint = ""

    def Export(self, request, context):
        with self._lock:
            for resource in request.resource_spans:
                service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
                for scope in resource.scope_spans:
                    self._spans += [_span(service, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self, trace: str = "") -> list[Span]:
        """What has arrived, of one trace or of all."""
        with self._lock:
            return [span for span in self._spans if trace in ("", span.trace)]


def _span(service: str, span) -> Span:
    return Span(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        next((a.value.string_value for a in span.attributes if a.key == "heroserve.request_id"), ""),
        span.status.code == span.status.STATUS_CODE_ERROR,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


@contextmanager
def receiver() -> Iterator[Receiver]:
    """One that listens; ``endpoint`` is what OTEL_EXPORTER_OTLP_ENDPOINT must be."""
    kept = Receiver()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    kept.endpoint = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield kept
    finally:
        server.stop(None)
