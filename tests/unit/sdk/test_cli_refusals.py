"""What is wrong is told in one line and in the command's own words: the option, the reason, the limit, what to do."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import threading
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from heroserve import RetryPolicy
from heroserve.cli import app, texts
from heroserve.cli.bench import grpc_door
from heroserve.cli.fields import OPTIONS
from heroserve.cli.told import Asked, told
from heroserve.errors import HeroserveError
from heroserve.v1.chat_pb2 import GenerateRequest
from heroserve.v1.encoder_pb2 import EncodeRequest

IMAGE = "examples/scene.png"
# What the wire says and people do not.
WIRE = re.compile(r"messages|parts\[|budget|sampling|image\.|metadata|INVALID_ARGUMENT|UNAVAILABLE|UNAUTHENTICATED")


@pytest.fixture
def run(peer):
    env = {"HEROSERVE_TARGET": peer.target, "HEROSERVE_ENCODER_TARGET": peer.target, "HEROSERVE_API_KEY": None}
    return lambda *args, stdin=None, **extra: CliRunner(env=env | extra).invoke(app, args, input=stdin)


def refused(done, status: int = 2) -> str:
    assert (done.exit_code, done.stdout) == (status, ""), done.stderr
    assert done.stderr.startswith("heroserve: ")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 900
    return done.stderr.removeprefix("heroserve: ").rstrip("\n")


def says(code: grpc.StatusCode, details: str):
    """A script's step."""
    return lambda request, context: context.abort(code, details)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--retention", "0"], "--retention: is 0; it must be a number above 0 and at most 1"),
        (["--retention", "1.01"], "--retention: is 1.01; "),
        (["--retention", "nan"], "--retention: is nan; "),
        (["--retention", "much"], "--retention: is much; "),
        (["--retention", "\x1b[2J"], r"--retention: is \x1b[2J; "),
        (["--retention", "1" * 100_000], "--retention: is 1"),
        (["--max-visual-tokens", "0"], "--max-visual-tokens: is 0; it must be a whole number from 1 to 4294967295"),
        (["--max-visual-tokens", "2.5"], "--max-visual-tokens: is 2.5; "),
        (["--retention", "0.2", "--max-visual-tokens", "5"], "--retention and --max-visual-tokens are two ways"),
        (["--max-tokens", "0"], "--max-tokens: is 0; "),
        (["--max-tokens", str(1 << 32)], "--max-tokens: is 4294967296; "),
        (["--temperature", "-0.1"], "--temperature: is -0.1; it must be a number at least 0 and at most 2"),
        (["--temperature", "inf"], "--temperature: is inf; "),
        (["--top-p", "0"], "--top-p: is 0; "),
        (["--seed", "-1"], "--seed: is -1; "),
        (["--seed", str(1 << 64)], "--seed: is 18446744073709551616; "),
        (["--timeout", "0"], "--timeout: is 0; it must be a number above 0"),
        (["--timeout", "nan"], "--timeout: is nan; "),
        (["--timeout", "inf"], "--timeout: is inf; it must be a number above 0, and finite"),
        (["--timeout", ""], "--timeout: is empty; it must be "),
        (["--seed", ""], "--seed: is empty; it must be "),
        (
            ["--target", "localhost"],
            "--target: expected HOST:PORT, such as localhost:9001, not 'localhost': it has no port",
        ),
        (["--target", "localhost:99999"], "--target: expected HOST:PORT"),
        (["--target", "http://llm"], "--target: expected HOST:PORT"),
        (["--target", "x" * 100_000], "--target: expected HOST:PORT"),
        (["--api-key", "k\ney"], "--api-key: a key has printable ASCII"),
        (["--nonsense"], "No such option: --nonsense"),
        (["--seed"], "Option '--seed' requires an argument"),
        (
            ["more"],
            "IMAGE: cannot read What?: No such file or directory; a QUESTION of several words stands in quotation",
        ),
        (["--system", " "], "--system: is empty; leave it out for none"),
        (["--system", "\udcff"], "--system: is not UTF-8"),
        (["--stop", ""], "--stop: has 0 characters; it must have 1 to 64"),
        (["--stop", "a", "--stop", "b" * 65], "--stop: has 65 characters; it must have 1 to 64"),
        (["--stop", "\udcff"], "--stop: is not UTF-8"),
        (["--stop", "a"] * 9, "--stop: is given 9 times; the limit is 8"),
        (["--json-schema", "{"], "--json-schema: is no JSON ("),
        (["--json-schema", "[" * 100_000], "--json-schema: is no JSON ("),
        (["--json-schema", "[]"], "--json-schema: is JSON, and no object; it must be a JSON Schema"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_option_is_checked_before_anything_is_sent(run, peer, args, told):
    assert refused(run("ask", IMAGE, "What?", *args)).startswith(told)
    assert peer.seen == []


@pytest.mark.parametrize("command", [["describe", "--target"], ["bench"]], ids=lambda words: words[0])
def test_a_listener_that_waits_for_another_greeting(run, monkeypatch, command):
    monkeypatch.setattr(grpc_door, "_PATIENCE_S", 0.5)
    with socket.create_server(("localhost", 0)) as silent:
        target = f"localhost:{silent.getsockname()[1]}"
        told = refused(run(*command, target, "--tls", "--timeout", "0.5"), status=1)
    assert told.startswith(f"{target} had no answer in time: ")
    assert "; is HOST:PORT that of the service" in told


def test_where_a_value_came_from_is_named(run, peer):
    assert refused(run("ask", IMAGE, "What?", HEROSERVE_TARGET="llm")).startswith(
        "HEROSERVE_TARGET: expected HOST:PORT"
    )
    assert refused(run("encode", IMAGE, "?", HEROSERVE_ENCODER_TARGET=":1")).startswith("HEROSERVE_ENCODER_TARGET: ")


def test_what_is_missing(run):
    assert refused(run("ask")).startswith("IMAGE is missing; see `")
    assert refused(run("ask", IMAGE)).startswith("QUESTION is missing; see `")
    # One word is either, and it is told which it is not.
    assert refused(run("ask", "What is it?")).startswith("IMAGE is missing; see `")
    for image in ("nowhere.png", "-", "data:image/png;base64,", "README.md"):
        assert refused(run("ask", image)).startswith("QUESTION is missing; see `")
    assert refused(run("encode", IMAGE)).startswith("QUESTION is missing; see `")
    assert refused(run("aks")).startswith("No such command 'aks'")


@pytest.mark.parametrize(
    ("question", "told"),
    [("", "QUESTION: is empty"), (" \n", "QUESTION: is empty"), ("\udcff", "QUESTION: is not UTF-8")],
)
def test_a_question_that_is_none(run, peer, question, told):
    assert refused(run("ask", IMAGE, question)).startswith(told)
    assert refused(run("encode", IMAGE, question)).startswith(told)
    assert peer.seen == []


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("nowhere.png", "IMAGE: cannot read nowhere.png: No such file or directory; "),
        ("", "IMAGE: the path is empty"),
        ("/", "IMAGE: cannot read /: it is a directory; name a file in it"),
        ("/dev/zero", "IMAGE: /dev/zero is a device"),
        ("empty", "IMAGE: empty is empty; was it downloaded or copied to its end?"),
        ("https://example.com/a.png", "IMAGE: https: URLs are not fetched; "),
        ("data:image/png;base64,???", "IMAGE: the data: URL is not base64"),
        ("a" * 5000, "IMAGE: 5000 characters of base64"),
        ("a.b" * 5000, "IMAGE: cannot read the path of 15000 characters"),
        ("a\nb\x1b[2J.png", r"IMAGE: cannot read 'a\nb\x1b[2J.png'"),
        ("\udcff.png", "IMAGE: cannot read '\\udcff.png'"),
        ("a\0.png", "IMAGE: cannot read 'a\\x00.png'"),
    ],
    ids=lambda value: value[:20],
)
def test_a_picture_that_can_not_be_sent(run, peer, tmp_path, monkeypatch, image, told):
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    assert refused(run("ask", image, "What?")).startswith(told)
    assert refused(run("encode", image, "What?")).startswith(told)
    assert peer.seen == []


@pytest.mark.parametrize("kind", ["-", "data", "pipe"])
def test_pictures_that_are_no_file(run, peer, tmp_path, kind):
    data, image = Path(IMAGE).read_bytes(), kind
    if kind == "data":
        image = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    if kind == "pipe":
        image = str(tmp_path / "pipe")
        os.mkfifo(image)
        threading.Thread(target=Path(image).write_bytes, args=[data], daemon=True).start()
    done = run("ask", image, "What?", stdin=data if kind == "-" else None)
    assert (done.exit_code, done.stdout) == (0, "A red [bold]bus\n"), done.stderr
    assert peer.seen[-1].image_bytes == len(data)


def test_stdin_that_has_none(run, peer):
    assert refused(run("ask", "-", "What?", stdin=b"")).startswith("IMAGE: stdin is empty")
    assert peer.seen == []


INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ("budget.max_visual_tokens: is 0; it must be at least 1", "--max-visual-tokens: is 0; it must be at least 1"),
        ("budget.retention: is 2; it must be at most 1", "--retention: is 2; it must be at most 1"),
        (
            "sampling.max_tokens: is 900; behind a prompt of 200 tokens the limit is 800 of 1000",
            "--max-tokens: is 900; behind a prompt of 200 tokens the limit is 800 of 1000",
        ),
        ("sampling.top_p: is 0; it must be above 0", "--top-p: is 0; it must be above 0"),
        (
            "messages: have 300000 characters; the limit is 262144",
            "QUESTION: has 300000 characters; the limit is 262144",
        ),
        ("messages[0].parts: has no text; ask a question", "QUESTION: has no text; ask a question"),
        ("messages: have 1 images; the limit is 0", f"{IMAGE}: has 1 images; the limit is 0"),
        (
            "messages: make a prompt of 9 tokens; the limit is 8. Shorten the text or lower budget.retention",
            "QUESTION: makes a prompt of 9 tokens; the limit is 8. Shorten the text or lower --retention",
        ),
        (
            "messages[0].parts[0].image.data: is not an image in one of JPEG, PNG; it is PDF",
            f"{IMAGE}: is not an image in one of JPEG, PNG; it is PDF; draw a page as PNG first: pdftoppm",
        ),
        ("messages[0].parts[0].image.data: is not an image in one of JPEG; it is SVG or other XML", "rsvg-convert"),
        ("messages[0].parts[0].image.data: is not an image in one of JPEG; it is HEIC", "heif-convert"),
        ("messages[0].parts[0].image.data: is not an image in one of JPEG; it is text", "name the picture itself"),
        ("messages[0].parts[0].image.data: is not an image in one of JPEG", "save it as PNG or JPEG"),
        ("question: is 5000 characters; the limit is 4096", "QUESTION: is 5000 characters; the limit is 4096"),
        ("what nobody has foreseen", "what nobody has foreseen"),
        ("messages[0].parts[0].image.data: " + "x" * 5_000, f"{IMAGE}: xxx"),
    ],
    ids=lambda value: value[:40],
)
def test_a_services_words_in_ours(run, peer, details, told):
    peer.script.extend([grpc.StatusCode.UNIMPLEMENTED, says(INVALID, details)])
    line = refused(run("ask", IMAGE, "What?"))
    assert told in line
    assert told[:6] == line[:6] or not told.startswith(("-", "QUES", IMAGE))
    assert f"(request {peer.seen[-1].metadata['request_id']})" in line
    assert not WIRE.search(line)


def test_the_encoders_words_too(run, peer):
    peer.script.append(says(INVALID, "image.data: is not an image in one of JPEG, PNG; it is a film"))
    assert refused(run("encode", IMAGE, "What?")).startswith(
        f"{IMAGE}: is not an image in one of JPEG, PNG; it is a film; "
    )


NO_KEY = "authorization: send 'authorization: Bearer <API key>' with a valid key"


@pytest.mark.parametrize(
    ("code", "details", "args", "told"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, NO_KEY, [], "wants an API key; give one: --api-key KEY or HEROSERVE_API_KEY"),
        (
            grpc.StatusCode.UNAUTHENTICATED,
            NO_KEY,
            ["--api-key", "k"],
            "does not accept this API key; give another: --api-key KEY",
        ),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "too late", [], "--timeout SECONDS gives it longer"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "full", [], "ask again"),
        (grpc.StatusCode.UNIMPLEMENTED, "no such method", [], "--encoder-target"),
        (grpc.StatusCode.INTERNAL, "failed", [], "a bug: the service's log has it"),
    ],
)
def test_what_to_do_next(run, peer, monkeypatch, code, details, args, told):
    monkeypatch.setattr("heroserve.cli.calling._RETRY", RetryPolicy(attempts=1))
    peer.script.extend([grpc.StatusCode.UNIMPLEMENTED, says(code, details)])
    line = refused(run("ask", IMAGE, "What?", *args), 1)
    assert told in line
    assert "metadata" not in line


@pytest.mark.usefixtures("hurried")
def test_a_service_that_is_down(run, peer):
    peer.stop()
    line = refused(run("ask", IMAGE, "What?"), 1)
    assert line.startswith(f"nobody answers at {peer.target}: ")
    assert "`make up`" in line
    assert "--target HOST:PORT or HEROSERVE_TARGET" in line
    assert "request" not in line
    assert "--encoder-target HOST:PORT or HEROSERVE_ENCODER_TARGET" in refused(run("encode", IMAGE, "What?"), 1)


def test_something_else_that_listens_on_one_of_a_names_addresses():
    """As a service's HTTP port does: of localhost's addresses it has one, and gRPC tells what became of the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"localhost:{listener.getsockname()[1]}"
        refusal = HeroserveError("failed to connect to all addresses", code=grpc.StatusCode.UNAVAILABLE)
        line = told(refusal, Asked(target)).line
    assert f"what listens at {target} is no gRPC service" in line
    assert "is HOST:PORT that of the service's gRPC" in line
    assert f"nobody answers at {target}" in told(refusal, Asked(target)).line


def test_what_answers_in_something_else_than_grpc():
    details = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:9: Failed parsing HTTP/2"
    line = told(HeroserveError(details, code=grpc.StatusCode.UNAVAILABLE), Asked("127.0.0.1:9")).line
    assert line.startswith(
        "heroserve: what listens at 127.0.0.1:9 is no gRPC service: 127.0.0.1:9: Failed parsing HTTP/2"
    )
    assert "start the services" not in line


def test_addresses_are_told_as_people_write_them():
    details = "failed to connect to all addresses; last error: UNKNOWN: ipv6:%5B::1%5D:9: Connection refused"
    line = told(HeroserveError(details, code=grpc.StatusCode.UNAVAILABLE), Asked("[::1]:9")).line
    assert line.startswith("heroserve: nobody answers at [::1]:9: [::1]:9: Connection refused; ")


def test_a_long_name_is_told_in_short():
    host = "a" * 300
    details = f"DNS resolution failed for {host}:9: C-ares status is not ARES_SUCCESS qtype=A name={host} is_balancer=0"
    line = told(HeroserveError(details, code=grpc.StatusCode.UNAVAILABLE), Asked(f"{host}:9")).line
    assert "a" * 50 not in line
    assert line.startswith("heroserve: nobody answers at aaa")


@pytest.mark.parametrize("option", ["--max-tokens", "--temperature", "--seed", "--retention"])
@pytest.mark.parametrize("number", ["0_1", "\u0661", "\uff11"])
def test_a_number_is_written_in_digits(run, option, number):
    assert refused(run("ask", IMAGE, "What?", option, number), 2).startswith(f"{option}: is {number}; it must be a")


def test_a_files_url_is_answered_by_its_path(run):
    line = refused(run("ask", "file:///etc/passwd", "What?"), 2)
    assert "give the path" in line
    assert "curl" not in line


@pytest.mark.parametrize("columns", ["0", "", "x", "-5", "00"])
def test_help_is_there_where_no_width_is_known(monkeypatch, columns):
    monkeypatch.setenv("TERMINAL_WIDTH", columns)
    assert "Ask questions" in CliRunner(env={"COLUMNS": columns}).invoke(app, ["-h"]).stdout


@pytest.mark.usefixtures("hurried")
def test_errors_as_json(run, peer):
    def error(*args: str, status: int) -> dict[str, object]:
        done = run(*args, "--json")
        assert (done.exit_code, done.stdout) == (status, "")
        return json.loads(done.stderr)["error"]

    told = error("ask", IMAGE, "What?", "--max-visual-tokens", "0", status=2)
    assert (told["code"], told["option"], told["status"]) == ("USAGE", "--max-visual-tokens", 2)
    assert error("ask", status=2)["option"] == "IMAGE"
    assert error("ask", IMAGE, "What?", "--nonsense", status=2)["code"] == "USAGE"
    assert error("encode", "nowhere.png", "What?", status=2)["code"] == "INVALID_ARGUMENT"
    peer.script.append(says(INVALID, "budget.retention: is 2; it must be at most 1"))
    told = error("encode", IMAGE, "What?", status=2)
    assert told["field"] == "budget.retention"
    assert told["option"] == "--retention"
    assert told["request_id"] == peer.seen[-1].metadata["request_id"]
    peer.stop()
    told = error("describe", status=1)
    assert told["code"] == "UNAVAILABLE"
    assert "make up" in told["hint"]


def test_warnings_are_json_too(run, peer):
    peer.chat.trained = False
    done = run("ask", IMAGE, "What?", "--json")
    assert json.loads(done.stdout)["text"]
    assert "untrained" in json.loads(done.stderr)["warning"]


def paths(message, prefix: str = "") -> list[str]:
    """Every field of a request, as a service names it."""
    found = []
    for field in message.DESCRIPTOR.fields:
        path, value = prefix + field.name, getattr(message, field.name)
        found.append(path)
        if hasattr(value, "append"):
            path += "[]"
            found.append(path)
            value = value.add() if field.message_type else value
        if field.message_type:
            found += paths(value, f"{path}.")
    return found


@pytest.mark.parametrize("request_of", [GenerateRequest, EncodeRequest], ids=lambda kind: kind.__name__)
def test_every_field_has_an_option(request_of):
    """So that a new one is not told of in the wire's words; those of `app` are there."""
    named = set(paths(request_of()))
    assert named <= OPTIONS.keys() | {f"{path}[]" for path in OPTIONS}
    helps = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["ask", "-h"]).stdout
    for other in ("chat", "encode"):
        helps += CliRunner(env={"COLUMNS": "200"}).invoke(app, [other, "-h"]).stdout
    assert not [option for option in OPTIONS.values() if option not in helps]


def test_the_services_limits_are_known():
    from services.llm import job

    assert (texts.MAX_STOPS, texts.MAX_STOP_CHARS) == (job.MAX_STOPS, job.MAX_STOP_CHARS)


def test_every_role_of_the_llm_services_refusals_has_an_option():
    from services.llm.doors.grpc import _FIELDS

    spelt = {field.format(turn="", item="") for field in _FIELDS.values()}
    assert spelt <= OPTIONS.keys()


def test_completion(run, tmp_path):
    for shell in ("bash", "zsh", "fish"):
        assert "_HEROSERVE_COMPLETE" in run("completion", shell).stdout
    assert refused(run("completion", "tcsh")).startswith("SHELL: ")
    (tmp_path / "scene.png").touch()
    (tmp_path / "scene.txt").touch()
    (tmp_path / "scenes").mkdir()
    asked = {"_TYPER_COMPLETE_ARGS": f"heroserve ask {tmp_path}/sc", "_HEROSERVE_COMPLETE": "complete_zsh"}
    done = CliRunner(env=asked).invoke(app, [], prog_name="heroserve")
    assert f"{tmp_path}/scene.png" in done.stdout
    assert f"{tmp_path}/scenes/" in done.stdout
    assert "scene.txt" not in done.stdout


def test_help_is_h_too(run):
    for command in ("ask", "describe", "encode", "completion"):
        assert run(command, "-h").stdout == run(command, "--help").stdout
    alone = run()
    assert (alone.exit_code, alone.stdout) == (2, run("--help").stdout)
