"""Spans by OpenTelemetry, sent over OTLP's gRPC; imported only where an endpoint is set."""

from __future__ import annotations

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.common.tracing import Span, Trace

_W3C = TraceContextTextMapPropagator()


class OtlpSpans:
    """Sends what ends where OpenTelemetry's own variables say (OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, ...).

    Args:
        service: ``service.name``, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES name another.
    """

    def __init__(self, service: str) -> None:
        resource = Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
        # Not the process's global one, which is Ray's to set.
        self.provider = TracerProvider(resource=resource)
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self.provider.get_tracer("heroserve")

    def begin(self, name: str, parent: Trace | None, *, request_id: str) -> Span:
        span = self._tracer.start_span(
            name,
            # An empty context, not None: that would be whatever OpenTelemetry finds around.
            context=_W3C.extract(parent.headers if parent else {}, context=Context()),
            kind=api.SpanKind.SERVER if request_id else api.SpanKind.INTERNAL,
            attributes={"heroserve.request_id": request_id} if request_id else None,
        )
        return _OtlpSpan(span)


class _OtlpSpan:
    def __init__(self, span: api.Span) -> None:
        self._span = span
        headers: dict[str, str] = {}
        _W3C.inject(headers, context=api.set_span_in_context(span))
        self.trace = Trace.parse(headers.get("traceparent", ""), headers.get("tracestate", ""))

    def end(self, error: str = "") -> None:
        if error:
            self._span.set_status(api.StatusCode.ERROR, error)
        self._span.end()
