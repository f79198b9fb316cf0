"""W3C's trace context, taken and passed on; and spans, to a real OTLP receiver."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, Counter

from heroserve.v1.tokens_pb2 import Image
from services.common import context, errors, tracing
from services.common.context import RequestContext
from services.common.gate import Gate
from services.common.grpc_call import GrpcCall
from services.common.otel import OtlpSpans
from services.common.settings import SettingError
from services.common.stages import Stages
from services.common.tracing import Trace
from tests.support.otlp import receiver

REQUESTS = Counter("requests", "", ["door", "code"], registry=CollectorRegistry())
EXHAUSTED = Counter("exhausted", "", ["door", "reason"], registry=CollectorRegistry())
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "parent", [PARENT, PARENT[:-2] + "00", PARENT.replace("00-", "01-", 1), f"01-{PARENT[3:]}-more"]
)
@pytest.mark.parametrize("state", ["", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"])
def test_what_is_valid_goes_on_as_it_came(parent, state):
    expected = {"traceparent": parent} | ({"tracestate": state} if state else {})
    assert Trace.parse(parent, state).headers == expected


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        PARENT[:-1],
        PARENT + "0",
        PARENT + "-more",
        PARENT.upper(),
        PARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f" {PARENT}",
        f"{PARENT}\n",
        f"01-{PARENT[3:]}-\n",
        f"01-{PARENT[3:]}more",
    ],
)
def test_what_is_malformed_is_ignored(parent):
    assert Trace.parse(parent, "a=1") is None


@pytest.mark.parametrize("state", ["x" * 513, "a=ü", "a=1\nb=2"])
def test_a_bad_tracestate_costs_no_traceparent(state):
    assert Trace.parse(PARENT, state) == Trace(PARENT)


def test_without_an_endpoint_a_callers_trace_goes_through_unchanged():
    stages = Stages()
    with context.serving(RequestContext("a", trace=Trace(PARENT))), stages.time("encode", span="encode"):
        assert tracing.here() == Trace(PARENT)


def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded():
    code = (
        "import sys\n"
        "from services.common import context, ingress, logs, stages, tracing\n"
        "tracing.configure('x')\n"
        "stages.Stages().begin('a', span='a').end()\n"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "OTEL_EXPORTER_OTLP_ENDPOINT": " "}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_an_endpoint_without_the_packages_is_told(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT.*otel"):
        tracing.configure("x")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing.configure("x")


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
@pytest.mark.parametrize(
    "endpoint",
    [
        "garbage",
        "http://",
        "http//collector:4317",
        "http://collector:port",
        "http://collector:99999",
        "http://collector",
        "://collector:4317",
        "collector:4317:4317",
        "two words:4317",
        "ftp://collector:4317",
        "http://[::1:4317",
        "unix:",
    ],
)
def test_an_endpoint_that_is_none_is_told(monkeypatch, variable, endpoint):
    """The exporter would take it, and lose every span."""
    monkeypatch.setenv(variable, endpoint)
    with pytest.raises(SettingError, match=rf"^{variable}='.*': expected http://host:port"):
        tracing.wanted()


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://localhost:4317",
        "http://localhost:4317/",
        "http://10.0.0.7:4317/v1/traces",
        "HTTPS://api.example.com",
        "https://otel_collector.monitoring.svc:443",
        "http://[::1]:4317",
        "collector:4317",
        "unix:///var/run/otel.sock",
        "dns:///collector.monitoring:4317",
    ],
)
def test_an_endpoint_as_people_write_them_is_taken(monkeypatch, endpoint):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    assert tracing.wanted()


def test_of_two_endpoints_that_of_traces_counts(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "somebody's")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4317")
    assert tracing.wanted()


@pytest.fixture
def sent(monkeypatch):
    """The spans of a block of code: a function that waits for as many."""
    with receiver() as kept:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", kept.endpoint)
        monkeypatch.setattr(tracing, "_spans", tracing._spans)
        tracing.configure("heroserve-test")
        assert isinstance(tracing._spans, OtlpSpans)

        def spans() -> dict:
            tracing._spans.provider.force_flush()
            return {span.name: span for span in kept.spans()}

        yield spans
        tracing._spans.provider.shutdown()


def test_stages_are_spans_below_the_request_and_it_below_its_caller(sent):
    request = tracing.begin("Method", Trace(PARENT, "a=1"), request_id="mine")
    stages = Stages()
    with context.serving(RequestContext("x", trace=request.trace)):
        with stages.time("encode", span="encode"):
            inner = tracing.here()
            with stages.time("plan"):
                pass
            with stages.time("cache_read", span="cache"):
                pass
        decode = stages.begin("decode", span="decode")
        decode.end("Cancelled")
    request.end()
    spans = sent()
    assert spans.keys() == {"Method", "encode", "cache", "decode"}
    assert {span.trace for span in spans.values()} == {TRACE}
    assert spans["Method"].parent == SPAN
    assert spans["encode"].parent == spans["decode"].parent == spans["Method"].id
    assert spans["cache"].parent == spans["encode"].id
    # What is passed on names the span that the next service's work is for.
    assert inner.headers == {"traceparent": f"00-{TRACE}-{spans['encode'].id}-01", "tracestate": "a=1"}
    assert [name for name, span in spans.items() if span.failed] == ["decode"]
    assert {span.service for span in spans.values()} == {"heroserve-test"}
    assert [name for name, span in spans.items() if span.kind == 2] == ["Method"]
    assert [span.request_id for name, span in spans.items() if name != "Method"] == [""] * 3
    assert spans["Method"].request_id == "mine"


def test_a_request_without_a_caller_has_a_trace_of_its_own(sent):
    request = tracing.begin("Method", None, request_id="mine")
    tracing.begin("other", None).end()
    request.end()
    spans = sent()
    assert spans["Method"].parent == spans["other"].parent == ""
    assert spans["Method"].trace != spans["other"].trace
    assert request.trace.parent.startswith(f"00-{spans['Method'].trace}-{spans['Method'].id}-")


def test_a_caller_that_samples_nothing_gets_no_spans(sent):
    parent = Trace(PARENT[:-2] + "00")
    span = tracing.begin("Method", parent)
    span.end()
    assert sent() == {}
    # But what comes after it still learns of the trace.
    assert span.trace.parent.startswith(f"00-{TRACE}-")
    assert span.trace.parent.endswith("-00")


async def test_a_servers_error_is_one_and_a_callers_is_not(sent):
    for method, error in (("a", errors.InvalidArgument("x", "y")), ("b", errors.Internal("bug"))):
        call = GrpcCall(method, Serves(), Image())
        with pytest.raises(errors.ServiceError), Gate((), REQUESTS, EXHAUSTED, 60).guard(call):
            raise error
    spans = sent()
    assert [name for name, span in spans.items() if span.failed] == ["b"]
    assert all(span.request_id for span in spans.values())


class Serves:
    def invocation_metadata(self):
        return []

    def set_code(self, code):
        pass

    def set_details(self, details):
        pass
