"""The command line: stdout is the answer and nothing else, stderr says what it cost or what went wrong."""

import json
import subprocess
import sys

import grpc
import pytest
from typer.testing import CliRunner

import heroserve
from heroserve.cli import app, output
from heroserve.v1 import chat_pb2, encoder_pb2


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "bus.png"
    path.write_bytes(b"\x89PNG bus")
    return str(path)


@pytest.fixture
def run(peer):
    env = {"HEROSERVE_TARGET": peer.target, "HEROSERVE_ENCODER_TARGET": peer.target, "HEROSERVE_API_KEY": None}
    return lambda *args, **extra: CliRunner(env=env | extra).invoke(app, args)


def test_ask_prints_the_answer_and_says_what_was_saved(run, peer, image):
    done = run("ask", image, "What?", "--retention", "0.2", "--max-tokens", "9", "--seed", "0", "--top-p", "0.5")
    assert done.exit_code == 0
    assert done.stdout == "A red [bold]bus\n"
    lines = done.stderr.splitlines()
    assert lines == [
        "visual tokens 260 of 1300 kept (80.0% dropped) · encode 0.12 s · first token 0.20 s · total 0.90 s",
        "prompt 292 tokens (20 text, 260 visual, 12 newline) · answer 3 tokens (stop)",
    ]
    request = peer.seen[-1].request
    assert request.budget.retention == 0.2
    assert (request.sampling.max_tokens, request.sampling.seed, request.sampling.top_p) == (9, 0, 0.5)
    assert not request.sampling.HasField("temperature")
    assert peer.seen[-1].image_bytes == 8


def test_ask_as_json(run, peer, image):
    done = run("ask", image, "What?", "--json")
    answer = json.loads(done.stdout)
    assert answer["text"] == "A red [bold]bus"
    saved = {"prefill_flops": 0.0, "kv_cache_bytes": 0}
    assert answer["savings"] == {"total": 1300, "kept": 260, "dropped": 1040} | saved
    assert "explanations" not in answer
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["request_id"] == peer.seen[-1].metadata["request_id"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    "description",
    [
        chat_pb2.ChatDescription(trained=False),
        chat_pb2.ChatDescription(trained=True, encoder=encoder_pb2.EncoderDescription(trained=False)),
    ],
    ids=["llm", "encoder"],
)
def test_ask_warns_of_untrained_weights(run, peer, image, description):
    peer.chat = description
    done = run("ask", image, "What?")
    assert done.stdout == "A red [bold]bus\n"
    assert "untrained" in done.stderr.splitlines()[0]
    assert done.stderr.count("untrained") == 1
    peer.script.extend([lambda request, context: description, grpc.StatusCode.INVALID_ARGUMENT])
    assert run("ask", image, "What?").stderr.count("\n") == 1


@pytest.mark.parametrize("deltas", [[], ["\n "]], ids=["nothing", "blanks"])
def test_an_empty_answer_says_what_can_be_asked(run, peer, image, deltas):
    peer.deltas = deltas
    assert "the answer is empty: the model ended it at once" in run("ask", image, "What?").stderr
    peer.chat.examples.extend(["is there a bus?", "\x1b[2J", "what is that?"])
    done = run("ask", image, "What?")
    assert (done.exit_code, done.stdout.strip()) == (0, "")
    assert '"is there a bus?", "\\x1b[2J" (more: heroserve describe)' in done.stderr
    done = run("ask", image, "What?", "--json")
    assert json.loads(done.stdout)["text"] == "".join(deltas)
    assert "is there a bus?" in json.loads(done.stderr)["warning"]
    peer.deltas = ["A bus"]
    assert "empty" not in run("ask", image, "What?").stderr


def test_a_failing_describe_does_not_break_ask(run, peer, image):
    peer.script.append(grpc.StatusCode.UNIMPLEMENTED)
    done = run("ask", image, "What?")
    assert (done.exit_code, done.stdout) == (0, "A red [bold]bus\n")
    assert "untrained" not in done.stderr


def test_a_failed_call_is_one_line_and_exit_code_1(run, peer, image):
    peer.script.extend([grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.FAILED_PRECONDITION])
    done = run("ask", image, "What?")
    request_id = peer.seen[-1].metadata["request_id"]
    assert (done.exit_code, done.stdout) == (1, "")
    told = "can't do this as it is set up: scripted FAILED_PRECONDITION"
    assert done.stderr == f"heroserve: {peer.target} {told} (request {request_id})\n"


def test_an_answer_that_breaks_off_fails_after_what_came(run, peer, image):
    def breaks(request, context):
        yield chat_pb2.GenerateResponse(delta="A re")
        context.abort(grpc.StatusCode.INTERNAL, "two\nlines")

    peer.script.extend([lambda request, context: chat_pb2.ChatDescription(trained=True), breaks])
    done = run("ask", image, "What?")
    assert (done.exit_code, done.stdout) == (1, "A re\n")
    assert done.stderr.startswith(f"heroserve: {peer.target} failed: two lines; a bug: ")
    assert done.stderr.count("\n") == 1


def test_options_win_over_the_environment(run, peer, serve, image):
    other = serve()
    assert run("ask", image, "What?", "--target", other.target, "--api-key", "k1").exit_code == 0
    assert peer.seen == []
    assert {seen.metadata["authorization"] for seen in other.seen} == {"Bearer k1"}
    assert run("ask", image, "What?", HEROSERVE_API_KEY="k2").exit_code == 0
    assert {seen.metadata["authorization"] for seen in peer.seen} == {"Bearer k2"}


def test_timeout(run, peer, image):
    run("ask", image, "What?", "--timeout", "3")
    assert all(2 < seen.remaining_s < 3.5 for seen in peer.seen)


def test_describe(run, peer):
    peer.chat.encoder.relevance_model = "[clip]"
    peer.chat.examples.extend(["is there a bus?", "what is that?"])
    table = run("describe").stdout
    for text in (
        "is there a bus?",
        "what is that?",
        "scripted",
        "trained",
        "True",
        "encoder.relevance_model",
        "[clip]",
    ):
        assert text in table
    description = json.loads(run("describe", "--json").stdout)
    assert description["model"] == "scripted"
    assert description["max_images"] == 0
    assert description["encoder"]["relevance_model"] == "[clip]"


def test_encode(run, image):
    done = run("encode", image, "What?")
    assert done.exit_code == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    assert rows == [
        ["thumbnail", "", "100", "576", "", "", ""],
        ["row 0 col 0", "0.750", "120", "400", *["0.000"] * 3],
        ["row 0 col 1", "0.250", "40", "324", *["0.000"] * 3],
    ]
    assert "640 x 300 pixels · 1 x 2 tiles" in done.stdout
    assert "visual tokens 260 of 1300 kept (80.0% dropped) · cache hit" in done.stdout


def test_encode_explains(run, peer, image):
    terms = encoder_pb2.TileExplanation(saliency=0.125, relevance=0.25, density=0.5)
    tile = encoder_pb2.Tile(index=1, importance=1, valid=3, positions=[0, 5], explanation=terms)
    peer.script.append(lambda request, context: encoder_pb2.VisualTokens(tiles=[tile]))
    done = run("encode", image, "What?", "--max-visual-tokens", "2")
    assert all(text in done.stdout for text in ("saliency", "0.125", "0.250", "0.500"))
    assert peer.seen[0].request.explain
    assert peer.seen[0].request.budget.max_visual_tokens == 2


def test_encode_asks_for_rows_in_fewer_bytes(run, peer, image):
    tokens = encoder_pb2.VisualTokens(
        features=encoder_pb2.Features(dtype=encoder_pb2.Features.INT8, rows=2, cols=64, data=bytes(136))
    )
    peer.script.append(lambda request, context: tokens)
    done = run("encode", image, "What?", "--rows", "int8")
    assert peer.seen[-1].request.rows == encoder_pb2.Features.INT8
    assert "2 rows of 64 values in int8, 136 bytes" in done.stdout
    wrong = run("encode", image, "What?", "--rows", "int4")
    assert (wrong.exit_code, len(peer.seen)) == (2, 1)
    assert "--rows" in wrong.stderr
    assert "'int8'" in wrong.stderr


def test_encode_as_json_leaves_the_features_out(run, image):
    tokens = json.loads(run("encode", image, "What?", "--json").stdout)
    assert tokens["cache"] == "HIT"
    assert [len(tile["positions"]) for tile in tokens["tiles"]] == [100, 120, 40]
    assert tokens["features"] == {"dtype": "FLOAT32", "rows": 260, "cols": 1, "data": ""}


def test_encode_fails_like_ask(run, peer, image):
    peer.script.append(grpc.StatusCode.UNAUTHENTICATED)
    done = run("encode", image, "What?")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"heroserve: {peer.target} does not let this in: ")


def test_version(run):
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"heroserve {heroserve.__version__}\n")


def test_the_package_is_the_command_too():
    command = [sys.executable, "-m", "heroserve"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"heroserve {heroserve.__version__}\n"
    usage = subprocess.run([*command, "ask"], capture_output=True, text=True, check=False)
    assert usage.returncode == 2
    assert "python -m heroserve ask" in usage.stderr


@pytest.mark.parametrize(("terminal", "shown"), [(True, "a\ufffd[2Jb\tc\n\ufffd"), (False, "a\x1b[2Jb\tc\n\x9b")])
def test_an_answer_does_not_steer_the_terminal(monkeypatch, terminal, shown):
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: terminal, raising=False)
    assert output.harmless("a\x1b[2Jb\tc\n\x9b") == shown
