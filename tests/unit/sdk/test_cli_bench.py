"""`bench`: what a load is, what is made of it, and how it asks by either door."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from PIL import Image
from typer.testing import CliRunner

from heroserve.cli import app
from heroserve.cli.bench import picture
from heroserve.cli.bench.load import Interrupted, Load
from heroserve.cli.bench.outcome import OK, Outcome
from heroserve.cli.bench.summary import summary, times
from heroserve.savings import Savings
from tests.unit.sdk.conftest import LAST, asked
from tests.unit.sdk.test_cli_refusals import INVALID, says

SCENE, WORLD = "examples/scene.png", "examples/world.png"


@pytest.fixture
def run(peer):
    env = {"HEROSERVE_TARGET": peer.target, "HEROSERVE_API_KEY": None}
    return lambda *args: CliRunner(env=env).invoke(app, ["bench", *args])


def done(began_s: float) -> Outcome:
    return Outcome(OK, began_s, time.monotonic())


def test_a_closed_loop_has_no_more_at_once_than_it_says():
    lock, running, most = threading.Lock(), [0], [0]
    several = threading.Event()

    def ask(began_s: float) -> Outcome:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            if running[0] == 3:
                several.set()
        several.wait(10)
        with lock:
            running[0] -= 1
        return done(began_s)

    assert len(Load(3, requests=10).run(ask)) == 10
    assert most == [3]


def test_an_open_loop_counts_from_when_a_request_was_due():
    """Of one that waits for a worker too: so does whoever sends it."""
    dues: list[float] = []

    def ask(began_s: float) -> Outcome:
        dues.append(began_s)
        time.sleep(0.05)
        return done(began_s)

    outcomes = Load(1, rate=1000, requests=10).run(ask)
    assert dues == sorted(dues)
    assert dues[-1] - dues[0] < 0.2  # ten at a thousand a second, however slowly they are answered
    assert outcomes[-1].ended_s - outcomes[-1].began_s > 0.2


def test_nothing_begins_after_its_time():
    assert Load(2, duration_s=1e-9).run(done) == []
    assert Load(2, rate=1e-3, duration_s=0.01).run(done) == []
    assert len(Load(2, duration_s=1e6, requests=5).run(done)) == 5


def test_what_has_come_is_kept_when_it_is_interrupted():
    def glance(count: int) -> None:
        if count:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as interrupt:
        Load(2, duration_s=60).run(done, glance)
    assert interrupt.value.outcomes


def test_a_bug_in_a_worker_is_raised():
    with pytest.raises(ZeroDivisionError):
        Load(2, requests=5).run(lambda began_s: 1 / 0)


def test_percentiles_are_times_that_were_measured():
    assert times([]) is None
    assert times([2.0]) == dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "max"), 2.0)
    told = times([float(number) for number in range(100, 0, -1)])
    assert told == {"mean": 50.5, "p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}
    assert times([1.0, 2.0, 3.0])["p50"] == 2


def test_a_summary():
    savings = Savings(total=100, kept=20, dropped=80, prefill_flops=5.0, kv_cache_bytes=7)
    outcomes = [
        Outcome(OK, 10.0, 12.0, first_s=10.5, tokens=6, savings=savings),
        Outcome(OK, 11.0, 14.0, tokens=2, savings=savings),  # of no words
        Outcome("RESOURCE_EXHAUSTED", 11.0, 20.0, "full"),
        Outcome("RESOURCE_EXHAUSTED", 11.0, 12.0, "still"),
    ]
    told = summary(outcomes)
    assert told["requests"] == {"sent": 4, "answered": 2, "failed": 2}
    assert (told["elapsed_s"], told["requests_per_s"], told["tokens_per_s"]) == (10, 0.2, 0.8)
    assert told["time_to_first_token_s"]["max"] == 0.5
    assert told["answer_s"]["max"] == 3
    assert told["empty_answers"] == 1
    assert told["visual_tokens"] == {"total": 200, "kept": 40, "dropped": 160}
    assert told["saved"] == {"prefill_flops": 10.0, "kv_cache_bytes": 14}
    assert told["errors"] == {"RESOURCE_EXHAUSTED": {"count": 2, "message": "full"}}
    assert summary([])["answer_s"] is None


def test_the_picture_is_one():
    drawn = Image.open(io.BytesIO(picture.draw()))
    assert (drawn.format, drawn.size, drawn.mode) == ("PNG", (picture.SIDE, picture.SIDE), "RGB")
    assert len(drawn.convert("P").getcolors() or ()) > 5
    others = [picture.draw_anew(number) for number in (1, 2)]
    assert len({picture.draw(), *others}) == 3
    assert all(Image.open(io.BytesIO(other)).tobytes() == drawn.tobytes() for other in others)


def test_as_json(run, peer):
    peer.chat.examples.append("is there a bus?")
    told = run("--requests", "6", "--warm-up", "2", "--concurrency", "3", "--retention", "0.5", "--json")
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["door"], found["loop"], found["concurrency"], found["warm_up"]) == ("grpc", "closed", 3, 2)
    assert found["requests"] == {"sent": 6, "answered": 6, "failed": 0}
    assert found["tokens"] == 6 * LAST.usage.completion_tokens
    assert found["visual_tokens"] == {"total": 6 * 1300, "kept": 6 * 260, "dropped": 6 * 1040}
    assert found["question"] == "is there a bus?"
    assert 0 < found["time_to_first_token_s"]["p50"] <= found["answer_s"]["max"]
    # The warm-up's first, and what was not known by its digest yet.
    requests = asked(peer)
    assert len(requests) >= 8
    assert {request.budget.retention for request in requests} == {0.5}
    assert {request.messages[0].parts[-1].text for request in requests} == {"is there a bus?"}
    assert len(peer.stored) == 1


def test_for_people(run):
    told = run("--requests", "2", "--rate", "500", "--image", SCENE, "--image", WORLD, "--question", "What?")
    assert told.exit_code == 0, told.stderr
    first, second, third = told.stdout.splitlines()[:3]
    assert "gRPC · open loop, 500 a second, 128 at once · after a warm-up of 4" in first
    assert second == f"pictures: {SCENE}, {WORLD} · question: What?"
    assert third.startswith("2 of 2 answered in ")
    assert "whole answer" in told.stdout
    assert "visual tokens 520 of 2600 kept (80.0% dropped), of all answers together" in told.stdout


def test_answers_of_no_words_are_told(run, peer):
    peer.deltas = []
    told = run("--requests", "2", "--warm-up", "0")
    assert told.exit_code == 0
    assert "2 answers have no words, and so no first token; --question asks what the model knows" in told.stdout


def test_several_pictures_take_turns_and_fresh_ones_never_come_again(run, peer):
    assert run("--requests", "4", "--warm-up", "0", "--image", SCENE, "--image", WORLD).exit_code == 0
    assert len(peer.stored) == 2
    peer.stored.clear()
    assert run("--requests", "4", "--warm-up", "1", "--fresh").exit_code == 0
    assert len(peer.stored) == 5


def test_what_failed_is_counted_by_its_status(run, peer):
    peer.script.extend([lambda request, context: peer.chat, *[grpc.StatusCode.RESOURCE_EXHAUSTED] * 3])
    told = run("--requests", "5", "--warm-up", "0", "--concurrency", "1", "--json")
    assert told.exit_code == 3
    found = json.loads(told.stdout)
    assert found["requests"] == {"sent": 5, "answered": 2, "failed": 3}
    assert found["errors"] == {"RESOURCE_EXHAUSTED": {"count": 3, "message": "scripted RESOURCE_EXHAUSTED"}}
    error = json.loads(told.stderr)["error"]
    assert error["message"] == "3 of 5 requests failed: 3 RESOURCE_EXHAUSTED"
    peer.script.extend([lambda request, context: peer.chat, grpc.StatusCode.UNAVAILABLE])
    told = run("--requests", "1", "--warm-up", "0")
    assert told.exit_code == 1
    assert "1 times UNAVAILABLE: scripted UNAVAILABLE" in told.stdout
    assert told.stderr == "heroserve: 1 of 1 requests failed: 1 UNAVAILABLE\n"


def test_what_no_request_can_do_is_one_line(run, peer):
    image = "messages[0].parts[0].image.data: is no image"
    for details, named in ((image, "--image: is no image"), ("budget.retention: is 2", "--retention: is 2")):
        peer.script.extend([lambda request, context: peer.chat, says(INVALID, details)])
        told = run()
        assert (told.exit_code, told.stdout) == (2, "")
        assert told.stderr == f"heroserve: the first request was not answered: INVALID_ARGUMENT: {named}\n"
    peer.stop()
    told = run()
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith(f"heroserve: nobody answers at {peer.target}: ")
    assert "or say where they are: URL as HOST:PORT or HEROSERVE_TARGET" in told.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["localhost"], "URL: is localhost; it must be HOST:PORT of the LLM service's gRPC"),
        (["ftp://localhost"], "URL: is ftp://localhost; it must be"),
        (["http://"], "URL: is http://; it must be"),
        (["http://localhost:99999"], "URL: is http://localhost:99999; it must be"),
        (["http://user:secret@localhost"], "URL: has a user or a password in it"),
        (["http://localhost?a=b"], "URL: is http://localhost?a=b; it must be"),
        (["", "--json"], '{"error"'),
        (["--concurrency", "0"], "--concurrency: is 0; it must be a whole number from 1 to 1024"),
        (["--rate", "0"], "--rate: is 0; it must be a number above 0 and at most 10000"),
        (["--duration", "inf"], "--duration: is inf; it must be a number above 0"),
        (["--requests", "0"], "--requests: is 0; it must be a whole number from 1"),
        (["--warm-up", "-1"], "--warm-up: is -1; it must be a whole number from 0"),
        (["--question", " "], "--question: is empty"),
        (
            ["--image", "nowhere.png"],
            "--image: cannot read nowhere.png: No such file or directory; --image is a",
        ),
        (["--image", SCENE, "--fresh"], "--fresh sends a picture that is drawn for it, and --image names others"),
        (["--retention", "1", "--max-visual-tokens", "5"], "--retention and --max-visual-tokens are two ways"),
        (["http://localhost:1", "--tls"], "--tls is for gRPC; of OpenAI's API the URL says it: https://"),
    ],
)
def test_an_option_that_can_not_be_used(run, peer, args, told):
    done = run(*args)
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    assert done.stderr.removeprefix("heroserve: ").startswith(told)
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr
    assert peer.seen == []


ANSWER = [
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {"content": "A bus"}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    {
        "choices": [],
        "usage": {
            "completion_tokens": 3,
            "heroserve": {
                "visual_tokens": {"total": 10, "kept": 2, "dropped": 8},
                "saved": {"prefill_flops": 1.5, "kv_cache_bytes": 4},
            },
        },
    },
]


class OpenAi:
    """A server of OpenAI's API. Attributes: status, events, pause_s: of an answer; seen: bodies and headers."""

    def __init__(self) -> None:
        self.status, self.events, self.pause_s, self.seen = 200, ANSWER, 0.0, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(200, json.dumps({"data": [{"id": "some-model"}]}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.seen.append((self.path, body, self.headers.get("authorization"), self.client_address))
                if outer.status != 200:
                    self._send(outer.status, json.dumps({"error": {"message": "too many"}}).encode())
                    return
                time.sleep(outer.pause_s)
                lines = [f"data: {json.dumps(event)}\n\n" for event in outer.events]
                self._send(200, "".join([*lines, "data: [DONE]\n\n"]).encode())

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda request, address: None  # who asked had no more time
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def openai() -> Iterator[OpenAi]:
    found = OpenAi()
    thread = threading.Thread(target=found.server.serve_forever, args=[0.05])
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_over_http(run, openai, path):
    told = run(openai.url + path, "--requests", "4", "--warm-up", "1", "--concurrency", "1", "--json", "--api-key", "k")
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["door"], found["tokens"]) == ("http", 12)
    assert found["requests"] == {"sent": 4, "answered": 4, "failed": 0}
    assert found["visual_tokens"] == {"total": 40, "kept": 8, "dropped": 32}
    assert found["saved"] == {"prefill_flops": 6.0, "kv_cache_bytes": 16}
    where, body, key, _ = openai.seen[0]
    assert (where, key) == ("/v1/chat/completions", "Bearer k")
    assert body["model"] == "some-model"
    assert "heroserve" not in body  # which another server need not know
    image, text = body["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert text["text"] == "What is in this picture?"


def test_over_http_with_a_budget(run, openai):
    limits = ["--max-visual-tokens", "9", "--max-tokens", "5"]
    assert run(openai.url, "--requests", "1", "--warm-up", "0", *limits).exit_code == 0
    body = openai.seen[0][1]
    assert (body["heroserve"], body["max_tokens"]) == ({"max_visual_tokens": 9}, 5)


@pytest.mark.parametrize(
    ("status", "events", "told", "message"),
    [
        (429, ANSWER, "HTTP 429", "too many"),
        (200, ANSWER[:2], "HTTP 200, broken off", "the stream ended without a finish reason"),
        (200, [*ANSWER[:2], {"error": {"message": "lost"}}], "HTTP 200, broken off", '{"message": "lost"}'),
        (200, [["no", "answer"]], "HTTP 200, no answer", "'list' object has no attribute 'get'"),
    ],
)
def test_over_http_what_failed_is_counted(run, openai, status, events, told, message):
    openai.status, openai.events = status, events
    done = run(openai.url, "--requests", "2", "--warm-up", "0", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["errors"] == {told: {"count": 2, "message": message}}
    openai.status = 422
    done = run(openai.url)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "heroserve: the first request was not answered: HTTP 422: too many\n"


def test_over_http_an_answer_that_takes_too_long(run, openai):
    openai.pause_s = 0.5
    done = run(openai.url, "--requests", "1", "--warm-up", "0", "--timeout", "0.1", "--json")
    assert json.loads(done.stdout)["errors"] == {"timed out": {"count": 1, "message": "no whole answer within 0.1 s"}}


def test_over_http_nobody_is_there(run, peer):
    done = run("http://127.0.0.1:1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("heroserve: nobody answers at http://127.0.0.1:1: ")
    assert "HOST:PORT alone is gRPC" in done.stderr
    assert "what listens there speaks no HTTP" in run(f"http://{peer.target}").stderr
