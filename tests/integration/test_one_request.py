"""One request, one id, one clock: through both services' logs, spans and deadlines, over real gRPC and Ray."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

import heroserve
from heroserve import methods
from tests.support.otlp import Span
from tests.support.pictures import encoded, picture
from tests.support.services import Services
from tests.support.waiting import until

GENERATE, ENCODE = methods.GENERATE.path.strip("/"), methods.ENCODE.path.strip("/")
QUESTION = "What is the secret of this picture?"


@pytest.fixture
def image() -> bytes:
    """One that nobody has asked about before."""
    return encoded(picture(300, 200, seed=uuid.uuid4().int % 2**31))


@pytest.fixture
def lines(services: Services) -> Callable[..., list[dict[str, Any]]]:
    """The lines about requests that have ended: (request id, how many there must be)."""

    def read(request_id: str, count: int) -> list[dict[str, Any]]:
        def ended() -> list[dict[str, Any]]:
            return [line for line in services.lines(request_id) if "code" in line]

        until(lambda: len(ended()) >= count, 20, 0.2)
        return ended()

    return read


def test_the_callers_id_is_in_both_services_and_one_line_tells_of_each(
    services: Services, client: heroserve.Client, image: bytes, lines
):
    answer = client.ask(image, QUESTION, max_tokens=3, retention=0.3, request_id="one-of-mine")
    assert answer.request_id == "one-of-mine"
    by_method = {line["method"]: line for line in lines("one-of-mine", 2)}
    assert len(services.lines("one-of-mine")) == 3
    chat, encode = by_method[GENERATE], by_method[ENCODE]
    savings, usage = answer.savings, answer.usage
    for line in (chat, encode):
        assert (line["level"], line["code"], line["cache"]) == ("INFO", "OK", "miss")
        assert (line["tokens"]["total"], line["tokens"]["kept"]) == (savings.total, savings.kept)
        assert line["seconds"]["total"] >= max(line["seconds"].values()) > 0
    assert (chat["finish_reason"], chat["tokens"]["completion"]) == ("length", 3)
    assert chat["tokens"]["prompt"] == (
        usage.prompt_text_tokens + usage.prompt_visual_tokens + usage.prompt_newline_tokens
    )
    assert chat["seconds"].keys() == {"total", "encode", "assemble", "prefill", "decode"}
    assert encode["seconds"].keys() == {
        "total", "plan", "cache_read", "cache_write", "decode", "tile", "tower", "rank"
    }  # fmt: skip
    # The caller's figures are of the same clock.
    assert chat["seconds"]["encode"] == pytest.approx(answer.timings.encode_s, abs=1e-5)
    assert chat["seconds"]["encode"] > encode["seconds"]["total"]
    assert encode["bytes"]["in"] > len(image) <= chat["bytes"]["in"]
    assert encode["bytes"]["out"] > savings.kept * 64 * 4 > chat["bytes"]["out"] > 0
    # The tower's pass was for this request; another process logged it.
    (batch,) = [line for line in services.lines("one-of-mine") if "tiles" in line]
    assert batch["level"] == "DEBUG"


def test_an_answer_from_the_cache_says_so(services: Services, client: heroserve.Client, image: bytes, lines):
    for name, cache in (("first-time", "miss"), ("second-time", "hit")):
        client.ask(image, QUESTION, max_tokens=2, request_id=name)
        assert [line["cache"] for line in lines(name, 2)] == [cache] * 2
        # No pass of the tower is put down to who had one before.
        assert len([line for line in services.lines(name) if "tiles" in line]) == (cache == "miss")


def test_neither_question_nor_image_is_in_the_logs(services: Services, client: heroserve.Client, image: bytes, lines):
    client.ask(image, QUESTION, max_tokens=2, request_id="discreet")
    lines("discreet", 2)
    with pytest.raises(heroserve.InvalidArgument):
        client.ask(image, QUESTION, max_tokens=2, temperature=9, request_id="indiscreet")
    lines("indiscreet", 1)
    assert not [file for file in _files(services) if QUESTION.encode() in file.read_bytes()]


def test_the_id_comes_back_before_the_first_token(services: Services):
    with grpc.insecure_channel(services.grpc) as channel:
        rpc = channel.unary_stream(
            methods.GENERATE.path, heroserve.GenerateRequest.SerializeToString, methods.GENERATE.response.FromString
        )
        request = heroserve.generate_request([heroserve.user("Hello?")], max_tokens=2)
        for sent, same in (("mine-to-keep", True), ("not for a log", False)):
            call = rpc(request, metadata=(("application", "llm"), ("request_id", sent)), timeout=60)
            told = dict(call.initial_metadata())["request_id"]
            assert (told == sent) is same
            assert [*call]
            assert dict(call.trailing_metadata())["request_id"] == told
            assert until(lambda told=told: services.lines(told), 20, 0.2)


def test_twenty_refusals_are_twenty_lines_and_no_traceback(services: Services, client: heroserve.Client, lines):
    before = {file: file.stat().st_size for file in _files(services)}
    names = [f"refused-{i}" for i in range(20)]
    for name in names:
        with pytest.raises(heroserve.InvalidArgument):
            client.ask(None, QUESTION, temperature=9, request_id=name)
    with pytest.raises(heroserve.InvalidArgument):
        client.encode(b"no image", QUESTION, request_id="refused-encode")
    with pytest.raises(heroserve.NotFound):
        client.encode(heroserve.Image(digest="0" * 64), QUESTION, request_id="refused-digest")
    for name, code in [*((name, "INVALID_ARGUMENT") for name in names), ("refused-encode", "INVALID_ARGUMENT")]:
        (line,) = lines(name, 1)
        assert (line["level"], line["code"], "exception" in line) == ("WARNING", code, False)
    assert "temperature" in lines("refused-0", 1)[0]["detail"]
    assert [line["code"] for line in lines("refused-digest", 1)] == ["NOT_FOUND"]
    # Ray's own logs too: its proxy's and its replicas', in files and on their outputs.
    written = {file: file.read_bytes()[before.get(file, 0) :].decode(errors="replace") for file in _files(services)}
    assert not [file.name for file, text in written.items() if "Traceback" in text]
    ours = [line for text in written.values() for line in text.splitlines() if line.startswith("{")]
    assert len([line for line in ours if "refused-" in line]) == 22


def test_another_services_method_is_not_served(services: Services, lines):
    """Serve goes by a method's name alone, and both services have a Describe; Chat has no Encode."""
    with grpc.insecure_channel(services.grpc) as channel:
        for name, method in (("a", methods.DESCRIBE_ENCODER), ("b", methods.ENCODE)):
            rpc = channel.unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
            with pytest.raises(grpc.RpcError) as refused:
                rpc(
                    method.request(), timeout=30, metadata=[("application", "llm"), ("request_id", f"elsewhere-{name}")]
                )
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert "not served here" in refused.value.details()
            assert len(refused.value.details()) < 100
    (line,) = lines("elsewhere-a", 1)
    assert (line["level"], line["code"]) == ("WARNING", "UNIMPLEMENTED")


def test_callers_that_went_away_leave_no_traceback(services: Services, client: heroserve.Client):
    before = {file: file.stat().st_size for file in _files(services)}
    for _ in range(5):
        stream = client.stream(None, "Go on", max_tokens=3000)
        next(iter(stream))
        stream.close()
        with pytest.raises(heroserve.DeadlineExceeded):
            client.ask(None, "Go on", max_tokens=3000, timeout_s=0.05)
    # What Ray and asyncio find out about them, they find out when they collect.
    client.ask(None, "Go on", max_tokens=2)
    time.sleep(3)
    for file in _files(services):
        told = file.read_text(errors="replace")[before.get(file, 0) :]
        assert "RequestCancelledError" not in told, f"{file}: {told[-2000:]}"


def test_an_answer_that_its_deadline_cuts_off_is_told_of(client: heroserve.Client, lines):
    with client.stream(None, QUESTION, max_tokens=4000, timeout_s=3, request_id="too-late") as stream:
        next(iter(stream))
        with pytest.raises(heroserve.DeadlineExceeded):
            list(stream)
    (line,) = lines("too-late", 1)
    # Whether gRPC or the gate saw it first.
    assert line["code"] in ("CANCELLED", "DEADLINE_EXCEEDED")
    assert line["tokens"]["completion"] > 0
    assert line["seconds"]["decode"] > 0


def test_five_spans_below_the_callers(services: Services, client: heroserve.Client, image: bytes):
    trace, parent = uuid.uuid4().hex, "b7ad6b7169203331"
    client.ask(image, QUESTION, max_tokens=3, trace={"traceparent": f"00-{trace}-{parent}-01"})
    wanted = {GENERATE, ENCODE, "encode", "tower", "cache", "prefill", "decode"}
    assert until(lambda: {span.name for span in services.spans.spans(trace)} == wanted, 20, 0.2), services.spans.spans()
    spans: dict[str, Span] = {span.name: span for span in services.spans.spans(trace)}
    assert spans[GENERATE].parent == parent
    assert {spans[name].parent for name in ("encode", "prefill", "decode")} == {spans[GENERATE].id}
    assert spans[ENCODE].parent == spans["encode"].id
    assert {span.parent for span in services.spans.spans(trace) if span.name in ("cache", "tower")} == {
        spans[ENCODE].id
    }
    assert not [span for span in spans.values() if span.failed]
    assert {name: span.service for name, span in spans.items()} == {
        name: "heroserve-llm" if name in (GENERATE, "encode", "prefill", "decode") else "heroserve-encoder"
        for name in wanted
    }
    for outer, inner in ((GENERATE, "encode"), ("encode", ENCODE), (ENCODE, "tower"), (GENERATE, "decode")):
        assert spans[outer].start <= spans[inner].start <= spans[inner].end <= spans[outer].end
    assert spans["encode"].end <= spans["prefill"].start <= spans["prefill"].end <= spans["decode"].start


def test_a_refusal_has_a_span_and_is_no_error_of_the_service(services: Services, client: heroserve.Client):
    trace = uuid.uuid4().hex
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    with pytest.raises(heroserve.InvalidArgument):
        client.ask(None, QUESTION, temperature=9, trace=headers, request_id="refused-span")
    assert until(lambda: services.spans.spans(trace), 20, 0.2)
    told = [(span.name, span.request_id, span.failed) for span in services.spans.spans(trace)]
    assert told == [(GENERATE, "refused-span", False)]


def _files(services: Services) -> list[Path]:
    """All that this Ray's processes write, but for its dashboard's agent: that one's trouble is its own."""
    return [file for file in services.logs.rglob("*") if file.is_file() and not file.name.startswith("dashboard")]
