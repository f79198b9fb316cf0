"""The gate in front of every handler: keys, statuses, counts, the log line, and what a caller is told of a bug."""

from __future__ import annotations

import asyncio
import logging
import math
import pickle
import time

import grpc
import pytest
import ray
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.samples import Sample
from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.grpc_util import RayServegRPCContext

from heroserve.v1.tokens_pb2 import Image
from services.common import context, errors
from services.common.gate import Gate, as_service_error
from services.common.grpc_call import GrpcCall
from services.common.http_call import HttpCall
from tests.support.waiting import until

STATUSES = {
    errors.NotFound("gone"): "NOT_FOUND",
    errors.Unauthenticated("who"): "UNAUTHENTICATED",
    errors.ResourceExhausted("full", reason="line"): "RESOURCE_EXHAUSTED",
    errors.DeadlineExceeded("late"): "DEADLINE_EXCEEDED",
    errors.Unavailable("away"): "UNAVAILABLE",
    errors.FailedPrecondition("a setting"): "FAILED_PRECONDITION",
    errors.Unimplemented("not here"): "UNIMPLEMENTED",
    errors.Internal("bug"): "INTERNAL",
    errors.InvalidArgument("field", "is wrong"): "INVALID_ARGUMENT",
}


class Serves:
    """Serve's context of an RPC."""

    def __init__(self, metadata=()) -> None:
        self.metadata = list(metadata)
        self.code: grpc.StatusCode | None = None
        self.details: str | None = None
        self.trailing: list[tuple[str, str]] = []

    def invocation_metadata(self):
        return self.metadata

    def set_code(self, code):
        self.code = code

    def set_details(self, details):
        self.details = details

    def set_trailing_metadata(self, trailing):
        self.trailing = trailing


class Call(GrpcCall):
    """An RPC, and what becomes of it."""

    def __init__(self, metadata=()) -> None:
        self.serves = Serves(metadata)
        super().__init__("/pkg.Service/Method", self.serves, Image(digest="x" * 8))

    @property
    def code(self):
        return self.serves.code

    @property
    def details(self):
        return self.serves.details


class CountingGate(Gate):
    def __init__(self, *keys: str, timeout_s: float = 300) -> None:
        self.counter = Counter("requests", "", ["door", "code"], registry=CollectorRegistry())
        self.exhausted = Counter("exhausted", "", ["door", "reason"], registry=CollectorRegistry())
        super().__init__(keys, self.counter, self.exhausted, timeout_s)

    @property
    def counts(self) -> dict[str, float]:
        return _counts(self.counter)

    @property
    def reasons(self) -> dict[str, float]:
        return _counts(self.exhausted)


def _counts(counter: Counter) -> dict[str, float]:
    found = [(dict(sample.labels), sample.value) for sample in _samples(counter)]
    assert {labels.pop("door") for labels, _ in found} <= {"grpc"}
    return {label: value for labels, value in found for label in labels.values()}


def _samples(counter: Counter) -> list[Sample]:
    return [sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")]


def bearer(value: str) -> Call:
    return Call([("user-agent", "x"), ("authorization", value)])


def failing(error: BaseException):
    async def answer():
        raise error

    return answer


def test_the_stand_in_has_the_faces_of_serves_context():
    assert all(hasattr(RayServegRPCContext, name) for name in vars(Serves) if not name.startswith("_"))


def test_every_service_error_is_in_this_table():
    # HTTP's door has one of its own, which never comes here.
    ours = {kind for kind in errors.ServiceError.__subclasses__() if kind.__module__ == errors.__name__}
    assert {type(error) for error in STATUSES} == ours
    assert {type(error).code.name for error in STATUSES} == set(STATUSES.values())


@pytest.mark.parametrize("error", STATUSES, ids=lambda error: type(error).__name__)
async def test_a_unary_failure_is_a_status_and_an_empty_message(error):
    gate, call, empty = CountingGate(), Call(), Image()
    assert await gate.unary(call, failing(error), empty) is empty
    assert (call.code.name, call.details) == (STATUSES[error], str(error))
    assert gate.counts == {STATUSES[error]: 1}


@pytest.mark.parametrize("error", STATUSES, ids=lambda error: type(error).__name__)
def test_a_streams_failure_is_a_status_and_leaves_as_it_is(error):
    gate, call = CountingGate(), Call()
    with pytest.raises(type(error)) as raised, gate.guard(call):
        raise error
    assert raised.value is error
    assert (call.code.name, call.details) == (STATUSES[error], str(error))
    assert gate.counts == {STATUSES[error]: 1}


async def test_success_is_counted_and_sets_nothing():
    gate, call, reply = CountingGate(), Call(), Image(digest="d" * 64)

    async def answer():
        return reply

    sent = await gate.unary(call, answer, Image())
    # What Serve asks a message for; once it was made it is not made again.
    assert sent.SerializeToString() is sent.SerializeToString()
    assert Image.FromString(sent.SerializeToString()) == reply
    assert call.bytes_out == reply.ByteSize()
    with gate.guard(call):
        pass
    assert (call.code, call.details) == (None, None)
    assert gate.counts == {"OK": 2}


@pytest.mark.parametrize(
    "bug", [RuntimeError("secret: /models/x"), KeyError("secret"), AssertionError("secret"), ValueError("secret")]
)
async def test_a_bug_is_logged_and_not_told(bug, caplog):
    gate, call, empty = CountingGate(), Call(), object()
    with caplog.at_level(logging.ERROR, "services.common.gate"):
        assert await gate.unary(call, failing(bug), empty) is empty
    assert call.code == grpc.StatusCode.INTERNAL
    assert "secret" not in call.details
    assert gate.counts == {"INTERNAL": 1}
    (record,) = caplog.records
    assert record.exc_info[1] is bug


def test_a_streams_bug_does_not_leave_with_its_cause(caplog):
    with pytest.raises(errors.Internal) as raised, CountingGate().guard(Call()):
        raise RuntimeError("secret")
    assert "secret" not in str(raised.value)
    # Serve would print what it was raised from.
    assert raised.value.__suppress_context__
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("error", [error for error in STATUSES if not isinstance(error, errors.Internal)], ids=repr)
async def test_a_refusal_is_one_warning_without_a_traceback(error, caplog):
    with caplog.at_level(logging.DEBUG):
        await CountingGate().unary(Call(), failing(error), None)
    (record,) = caplog.records
    assert (record.levelname, record.exc_info, record.code) == ("WARNING", None, STATUSES[error])
    assert record.detail == error.message


async def test_a_request_that_ends_well_is_one_line_with_its_facts(caplog):
    async def answer():
        request = context.current()
        with request.stages.time("tower"):
            request.note(tokens={"total": 9, "kept": 2}, cache="miss")
        return Image(digest="y" * 30)

    with caplog.at_level(logging.DEBUG):
        await CountingGate().unary(Call(), answer, None)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert (record.method, record.code) == ("pkg.Service/Method", "OK")
    assert record.seconds.keys() == {"total", "tower"}
    assert 0 <= record.seconds["tower"] <= record.seconds["total"]
    assert (record.tokens, record.cache) == ({"total": 9, "kept": 2}, "miss")
    # Two bytes around each digest.
    assert record.bytes == {"in": 10, "out": 32}


async def test_what_a_caller_breaks_off_is_no_warning(caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(asyncio.CancelledError):
        await CountingGate().unary(Call(), failing(asyncio.CancelledError()), None)
    (record,) = caplog.records
    assert (record.levelname, record.code) == ("INFO", "CANCELLED")


def test_the_callers_id_is_the_requests():
    with CountingGate().guard(Call([("request_id", "of-the-caller:1")])) as request:
        assert request.id == "of-the-caller:1"
        assert context.current() is request
        assert context.ids() == ("of-the-caller:1",)
    assert context.ids() == ()


@pytest.mark.parametrize("sent", ["", " ", "two words", "x" * 129, "new\nline", "ключ", b"bytes", "tab\t"], ids=repr)
def test_an_id_that_no_log_should_hold_is_replaced(sent):
    seen = set()
    for _ in range(2):
        with CountingGate().guard(Call([("request_id", sent)])) as request:
            seen.add(request.id)
    assert sent not in seen
    assert len(seen) == 2
    assert all(len(name) == 32 for name in seen)


@pytest.mark.parametrize(("left_s", "most_s"), [(5, 5), (1000, 300), (None, 300), ("nonsense", 300), (math.nan, 300)])
def test_a_deadline_is_the_callers_or_the_services_own(left_s, most_s):
    sent = time.time() + left_s if isinstance(left_s, (int, float)) else left_s
    metadata = [] if left_s is None else [("heroserve-deadline", str(sent))]
    with CountingGate().guard(Call(metadata)) as request:
        assert most_s - 1 < request.remaining_s <= most_s


async def test_behind_its_deadline_nothing_runs(caplog):
    ran = []

    async def answer():
        ran.append(True)

    gate, call = CountingGate(), Call([("heroserve-deadline", str(time.time() - 1))])
    assert await gate.unary(call, answer, "empty") == "empty"
    assert not ran
    assert call.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert gate.counts == {"DEADLINE_EXCEEDED": 1}
    assert caplog.records[-1].levelname == "WARNING"


@pytest.mark.parametrize("headers", [{}, {"tracestate": "a=1"}])
def test_a_callers_trace_is_where_the_request_belongs(headers):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with CountingGate().guard(Call([("traceparent", parent), *headers.items()])) as request:
        assert request.trace.headers == {"traceparent": parent, **headers}
        assert context.origin() == context.Origin(request.id, request.trace)
    with CountingGate().guard(Call([("traceparent", "nonsense"), *headers.items()])) as request:
        assert request.trace is None


async def test_a_cancelled_unary_is_counted_and_goes_on():
    gate, call = CountingGate(), Call()
    with pytest.raises(asyncio.CancelledError):
        await gate.unary(call, failing(asyncio.CancelledError()), None)
    assert (gate.counts, call.code) == ({"CANCELLED": 1}, None)


def test_a_cancelled_stream_is_counted_and_goes_on():
    gate, call = CountingGate(), Call()
    with pytest.raises(asyncio.CancelledError), gate.guard(call):
        raise asyncio.CancelledError
    assert (gate.counts, call.code) == ({"CANCELLED": 1}, None)


async def test_a_stream_that_is_closed_early_is_no_success():
    gate = CountingGate()

    async def handler():
        with gate.guard(Call()):
            yield 1
            yield 2

    responses = handler()
    assert await anext(responses) == 1
    await responses.aclose()
    assert gate.counts == {"CANCELLED": 1}


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer wrong")],
        [("authorization", "Bearer s3cre")],
        [("authorization", "Bearer s3crets")],
        [("authorization", "Bearer S3CRET")],
        [("authorization", "s3cret")],
        [("authorization", "Basic s3cret")],
        [("authorization", "Bearer s3cret other")],
        [("authorization", "Bearer s3cret,other")],
        [("authorization", "Bearer schlüssel")],
        [("authorization", b"\xff\xfe")],
        [("x-api-key", "s3cret")],
    ],
    ids=str,
)
async def test_without_a_valid_key_nothing_runs(metadata):
    gate, call, ran = CountingGate("s3cret", "other"), Call(metadata), []

    async def answer():
        ran.append(True)

    assert await gate.unary(call, answer, "empty") == "empty"
    assert not ran
    assert call.code == grpc.StatusCode.UNAUTHENTICATED
    assert "Bearer" in call.details
    assert "s3cret" not in call.details
    assert gate.counts == {"UNAUTHENTICATED": 1}
    with pytest.raises(errors.Unauthenticated), gate.guard(Call(metadata)):
        ran.append(True)
    assert not ran


@pytest.mark.parametrize("value", ["Bearer s3cret", "bearer s3cret", "BEARER other", "Bearer schlüssel-ключ"])
async def test_any_of_the_keys_opens(value):
    gate = CountingGate("s3cret", "other", "schlüssel-ключ")

    reply = Image(digest="d" * 64)

    async def answer():
        return reply

    sent = await gate.unary(bearer(value), answer, "empty")
    assert Image.FromString(sent.SerializeToString()) == reply
    assert gate.counts == {"OK": 1}


@pytest.mark.parametrize("call", [Call(), bearer("Bearer whatever"), bearer("nonsense")])
def test_without_keys_everybody_may(call):
    gate = CountingGate()
    with gate.guard(call):
        pass
    assert gate.counts == {"OK": 1}


def test_counts_add_up_by_code():
    gate = CountingGate()
    for error in [*STATUSES, *STATUSES]:
        with pytest.raises(errors.ServiceError), gate.guard(Call()):
            raise error
    assert gate.counts == dict.fromkeys(STATUSES.values(), 2)


def over_ray(cause: Exception) -> Exception:
    """As a deployment's exception arrives at the one that called it: pickled, behind Ray's own."""
    return RayTaskError("f", "traceback with secret", pickle.loads(pickle.dumps(cause)))


@pytest.mark.parametrize("wrap", [over_ray, lambda cause: over_ray(cause).as_instanceof_cause()])
@pytest.mark.parametrize("error", STATUSES, ids=lambda error: type(error).__name__)
def test_statuses_survive_ray(error, wrap):
    got = as_service_error(wrap(error))
    assert got.code.name == STATUSES[error]
    assert got.message == error.message


def test_a_bug_behind_ray_is_a_bug():
    got = as_service_error(over_ray(KeyError("secret")))
    assert isinstance(got, errors.Internal)
    assert "secret" not in got.message


def test_serves_own_errors():
    full = BackPressureError(num_queued_requests=1, max_queued_requests=1)
    assert as_service_error(full).code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert as_service_error(DeploymentUnavailableError("x")).code == grpc.StatusCode.UNAVAILABLE


def test_an_invalid_argument_keeps_field_and_problem_over_a_wire():
    error = pickle.loads(pickle.dumps(errors.InvalidArgument("a.b", "is 0")))
    assert (error.field, error.problem, error.message, str(error)) == ("a.b", "is 0", "a.b: is 0", "a.b: is 0")


@pytest.mark.parametrize(
    "error",
    [ray.exceptions.ActorDiedError(), ray.exceptions.WorkerCrashedError(), ray.exceptions.OutOfMemoryError("x")],
)
def test_a_replica_that_dies_under_a_call_is_no_bug(error):
    assert isinstance(as_service_error(error), errors.Unavailable)


async def test_a_method_of_another_service_is_refused():
    """Serve finds handlers by a method's name alone: Describe is both services'."""
    gate, call, empty = CountingGate(), Call([("heroserve-method", "/other.Service/Method")]), Image()
    assert await gate.unary(call, failing(errors.Internal("not reached")), empty) is empty
    assert (call.code.name, call.details) == ("UNIMPLEMENTED", "other.Service/Method is not served here")
    assert gate.counts == {"UNIMPLEMENTED": 1}


@pytest.mark.parametrize(
    ("after_s", "told"), [(None, []), (0.25, ["250"]), (0, ["0"]), (-1, ["-1"]), (-math.inf, ["-1"])]
)
async def test_when_to_try_again_is_told_in_grpcs_own_way(after_s, told):
    error = errors.Unavailable("away")
    error.retry_after_s = after_s
    call = Call()
    await CountingGate().unary(call, failing(error), None)
    assert call.serves.trailing == [("grpc-retry-pushback-ms", value) for value in told]


async def test_a_flood_of_refusals_is_a_few_lines_and_a_count(caplog):
    gate = CountingGate()
    with caplog.at_level(logging.INFO, logger="services.common.gate"):
        for _ in range(1000):
            await gate.unary(Call(), failing(errors.ResourceExhausted("full", reason="line")), None)
        await gate.unary(Call(), failing(errors.Unavailable("away")), None)
        for _ in range(30):
            await gate.unary(Call(), succeeding, None)
        await asyncio.to_thread(until, lambda: "without a line" in caplog.text, 20, 0.05)
    lines = [record for record in caplog.records if record.message != "requests ended without a line of their own"]
    codes = [record.code for record in lines]
    assert 50 <= codes.count("RESOURCE_EXHAUSTED") <= 500
    assert (codes.count("UNAVAILABLE"), codes.count("OK")) == (1, 30)
    left_out = [record.requests for record in caplog.records if record not in lines]
    assert codes.count("RESOURCE_EXHAUSTED") + sum(left_out) == 1000
    assert gate.counts["RESOURCE_EXHAUSTED"] == 1000


async def succeeding():
    return Image()


async def test_a_caller_that_waited_to_its_deadline_was_not_served_and_has_not_broken_off(caplog):
    # So long that it is let in on a busy machine, too.
    late = [("heroserve-deadline", str(time.time() + 1))]
    gate = CountingGate()

    async def waited():
        await asyncio.sleep(1)
        raise asyncio.CancelledError

    with caplog.at_level(logging.DEBUG), pytest.raises(asyncio.CancelledError):
        await gate.unary(Call(late), waited, None)
    early = [("heroserve-deadline", str(time.time() + 60))]
    with pytest.raises(asyncio.CancelledError):
        await gate.unary(Call(early), failing(asyncio.CancelledError()), None)
    assert gate.counts == {"DEADLINE_EXCEEDED": 1, "CANCELLED": 1}
    assert (caplog.records[0].levelname, caplog.records[0].code) == ("INFO", "DEADLINE_EXCEEDED")


async def test_what_the_proxy_refused_is_counted_with_what_it_let_through():
    gate = CountingGate()

    async def answer():
        return Image()

    refused = "RESOURCE_EXHAUSTED/rate=4 RESOURCE_EXHAUSTED/proxy=3 UNAUTHENTICATED=2"
    await gate.unary(Call([("heroserve-refused", refused)]), answer, None)
    await gate.unary(Call([("heroserve-refused", "x")]), answer, None)
    assert gate.counts == {"OK": 2, "RESOURCE_EXHAUSTED": 7, "UNAUTHENTICATED": 2}


async def test_each_door_has_its_own_counts():
    """Of what its replicas answered, and of what its own part of the proxy refused before."""
    gate, refused = CountingGate(), "RESOURCE_EXHAUSTED/rate=4 UNAUTHENTICATED=2"
    await gate.unary(Call([("heroserve-refused", refused)]), succeeding, None)
    for headers in ({}, {"heroserve-refused": "RESOURCE_EXHAUSTED/proxy=3"}):
        with gate.guard(HttpCall("openai/chat.completions", headers, 1)):
            pass
    with pytest.raises(errors.Unavailable), gate.guard(HttpCall("openai/chat.completions", {}, 1)):
        raise errors.Unavailable("away")
    counted = {(s.labels["door"], s.labels["code"]): s.value for s in _samples(gate.counter)}
    assert counted == {
        ("grpc", "OK"): 1,
        ("grpc", "RESOURCE_EXHAUSTED"): 4,
        ("grpc", "UNAUTHENTICATED"): 2,
        ("http", "OK"): 2,
        ("http", "RESOURCE_EXHAUSTED"): 3,
        ("http", "UNAVAILABLE"): 1,
    }
    reasons = {(s.labels["door"], s.labels["reason"]): s.value for s in _samples(gate.exhausted)}
    assert reasons == {("grpc", "rate"): 4, ("http", "proxy"): 3}


async def test_who_was_refused_for_want_of_room_is_counted_by_reason_too():
    gate = CountingGate()
    for reason in ("wait", "wait", "share"):
        await gate.unary(Call(), failing(errors.ResourceExhausted("full", reason=reason)), None)
    await gate.unary(Call(), failing(errors.Unavailable("away")), None)
    assert gate.counts == {"RESOURCE_EXHAUSTED": 3, "UNAVAILABLE": 1}
    assert gate.reasons == {"wait": 2, "share": 1}


def test_callers_of_a_key_have_one_name_whatever_scope_they_say():
    gate, seen = CountingGate("s3cret", "other"), set()
    for key, scope in (("s3cret", "a"), ("s3cret", "b"), ("other", "a")):
        with gate.guard(Call([("authorization", f"Bearer {key}"), ("heroserve-scope", scope)])) as request:
            seen.add((request.key, request.scope))
    assert len({key for key, _ in seen}) == 2
    assert len(seen) == 3
    assert "s3cret" not in str(seen)
    with CountingGate().guard(Call([("heroserve-scope", "a")])) as request:
        assert request.key == ""
