"""`chat`: what is sent turn by turn, lines of a pipe, commands with a slash; on a terminal its keys."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from heroserve.cli import app
from heroserve.cli.talk.lines import Lines
from heroserve.cli.talk.slash import COMMANDS
from heroserve.images import image_digest
from heroserve.v1.chat_pb2 import Explanation, GenerateRequest, GenerateResponse, Message
from tests.support.explained import GRID
from tests.support.terminal import Terminal, terminal
from tests.unit.sdk.conftest import LAST, asked
from tests.unit.sdk.test_cli_explain import SAVINGS, TILES

SCENE, WORLD = "examples/scene.png", "examples/world.png"


@pytest.fixture
def run(peer):
    env = {"HEROSERVE_TARGET": peer.target, "HEROSERVE_API_KEY": None}
    return lambda *args, stdin="": CliRunner(env=env).invoke(app, ["chat", *args], input=stdin)


def texts(request: GenerateRequest) -> list[tuple[str, str]]:
    """Who says what."""
    return [
        (Message.Role.Name(message.role), part.text)
        for message in request.messages
        for part in message.parts
        if part.text
    ]


def images(request: GenerateRequest) -> list[list[str]]:
    """The digests of each message's images."""
    return [
        [part.image.digest or image_digest(part.image.data) for part in message.parts if part.HasField("image")]
        for message in request.messages
    ]


def digest(file: str) -> str:
    return image_digest(Path(file).read_bytes())


def test_of_a_pipe_each_line_is_a_turn(run, peer):
    done = run(SCENE, "--system", "Be brief.", "--stop", "\n", "--retention", "0.2", stdin="One?\n\n  Two? \r\nThree?")
    assert (done.exit_code, done.stdout) == (0, "A red [bold]bus\n" * 3), done.stderr
    first, second, third = asked(peer)
    assert texts(first) == [("SYSTEM", "Be brief."), ("USER", "One?")]
    said = "A red [bold]bus"
    assert texts(third) == [
        ("SYSTEM", "Be brief."),
        *(("USER", "One?"), ("ASSISTANT", said), ("USER", "Two?"), ("ASSISTANT", said), ("USER", "Three?")),
    ]
    for request in (first, second, third):
        assert [found for found in images(request) if found] == [[digest(SCENE)]]
        assert images(request)[1] == [digest(SCENE)]
        assert (list(request.sampling.stop), request.budget.retention) == (["\n"], 0.2)
    assert done.stderr.count("visual tokens 260 of 1300") == 3


def test_a_mark_at_the_beginning_is_no_part_of_a_question(run, peer):
    assert run(stdin="\ufeffOne?\nTwo\ufeff?\n".encode()).exit_code == 0
    assert texts(asked(peer)[-1])[0::2] == [("USER", "One?"), ("USER", "Two\ufeff?")]
    assert run(stdin=b"\xef\xbb\xbf/quit\n").exit_code == 0
    assert len(asked(peer)) == 2


def test_a_picture_comes_in_with_a_later_question(run, peer, tmp_path):
    spaced = tmp_path / "a world.png"
    spaced.write_bytes(Path(WORLD).read_bytes())
    done = run(SCENE, stdin=f"One?\n/image '{spaced}'\nTwo?\n/reset\nThree?\n/reset {WORLD}\n//four?\n")
    assert done.exit_code == 0, done.stderr
    _, two, three, four = asked(peer)
    assert images(two) == [[digest(SCENE)], [], [digest(WORLD)]]
    assert images(three) == [[digest(SCENE), digest(WORLD)]]
    assert images(four) == [[digest(WORLD)]]
    assert texts(four) == [("USER", "/four?")]


def test_without_a_picture_it_is_a_conversation_too(run, peer):
    assert run(stdin="Hello\n").exit_code == 0
    assert images(asked(peer)[0]) == [[]]


def test_more_pictures_than_the_service_takes_are_refused_before_anything_is_asked(run, peer):
    peer.chat.max_images = 1
    done = run(SCENE, WORLD, stdin="Both?\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("heroserve: IMAGE: there would be 2; the limit is 1; the LLM service's HEROSERVE_MAX")
    done = run(SCENE, stdin=f"One?\n/image {WORLD}\n")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].endswith("; /reset FILE begins anew with another")


def test_as_json_each_answer_is_a_line(run, peer):
    done = run(SCENE, "--json", stdin="One?\nTwo?\n")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["text"] for answer in found] == ["A red [bold]bus"] * 2
    assert done.stderr == ""
    assert not asked(peer)[0].explain


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/images x.png", "there is no /images; /help lists what there is"),
        ("/", "there is no /; /help lists"),
        ("/image", "/image: names no picture; /image FILE"),
        ("/image nowhere.png", "IMAGE: cannot read nowhere.png: No such file or directory"),
        ("/image -", "IMAGE: is -, but chat reads questions from stdin; name a file"),
        ("/image 'a.png", "/image 'a.png: no closing quotation"),
        ("/explain", "/explain: there is no answer yet"),
        ("/retention 2", "/retention: is 2; it must be a number above 0 and at most 1"),
        ("/retention much", "/retention: is much; it must be a number"),
        ("/retention 0.1 0.2", "/retention: takes one word behind it"),
        ("/numbers off", "/numbers: takes nothing behind it"),
        ("\udcff", "QUESTION: is not UTF-8"),
    ],
)
def test_a_line_that_can_not_be_done_ends_a_pipe(run, peer, line, told):
    done = run(SCENE, stdin=f"{line}\nOne?\n".encode(errors="surrogateescape"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"heroserve: {told}")
    assert done.stderr.count("\n") == 1
    assert asked(peer) == []


def test_stdin_is_no_picture(run, peer):
    done = run("-", stdin="One?\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "IMAGE: is -, but chat reads questions from stdin" in done.stderr
    assert peer.seen == []


@pytest.mark.usefixtures("hurried")
def test_the_first_failure_ends_a_pipe(run, peer):
    def fails(request, context):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "messages: make a prompt of 9 tokens; the limit is 8.")

    def picture(request, context):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "messages[2].parts[0].image.data: is no image")

    for step, told in ((fails, "the conversation: makes a prompt of 9 tokens"), (picture, f"{WORLD}: is no image")):
        peer.script.extend([lambda request, context: peer.chat, answer, step])
        done = run(SCENE, stdin=f"One?\n/image {WORLD}\nTwo?\nThree?\n")
        assert (done.exit_code, done.stdout) == (2, "A bus\n")
        assert done.stderr.splitlines()[-1].startswith(f"heroserve: {told}")
    peer.stop()
    assert "nobody answers" in run(SCENE, stdin="One?\n").stderr


def answer(request, context):
    """A script's step that explains."""
    yield GenerateResponse(delta="A bus")
    last = GenerateResponse()
    last.CopyFrom(LAST)
    last.explanations.append(
        Explanation(image_digest=digest(SCENE), question="One?", grid=GRID, tiles=TILES, savings=SAVINGS)
    )
    yield last


def test_what_was_kept_is_told(run, peer):
    peer.script.extend([lambda request, context: peer.chat, answer])
    done = run(SCENE, stdin="One?\n/explain\n/numbers\n/retention 0.5\nTwo?\n/retention\n")
    assert (done.exit_code, done.stdout) == (0, "A bus\nA red [bold]bus\n"), done.stderr
    assert f"{SCENE}, for: One?" in done.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stderr.splitlines() if "│" in line]
    assert rows[0][:3] == ["thumbnail", "", "2"]
    assert len(rows) == len(TILES)
    assert done.stderr.count("visual tokens 260 of 1300") == 1
    assert (asked(peer)[0].budget.retention, asked(peer)[-1].budget.retention) == (0, 0.5)
    assert "retention is 0.5" in done.stderr
    assert all(request.explain for request in asked(peer))


def test_a_picture_that_can_not_be_drawn_is_told_by_the_slash(run, peer, tmp_path):
    for file, told in (("out.txt", "is out.txt; it must be a picture"), ("no/o.png", "no/o.png is in")):
        peer.script.extend([lambda request, context: peer.chat, answer])
        done = run(SCENE, stdin=f"One?\n/explain {file}\n")
        assert done.exit_code == 2
        assert done.stderr.splitlines()[-1].startswith(f"heroserve: /explain: {told}")
    peer.script.extend([lambda request, context: peer.chat, answer])
    done = run(SCENE, stdin=f"One?\n/explain {tmp_path}/out.png\n")  # of another grid than this picture has
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("heroserve: /explain: Pillow reads")


def test_what_tab_goes_on_to(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    lines = Lines(COMMANDS)
    (tmp_path / "scene.png").touch()
    (tmp_path / "scene.txt").touch()
    assert lines.completed("", "/re") == ["/retention ", "/reset "]
    assert lines.completed("", "re") == []
    assert lines.completed("/image ", f"{tmp_path}/sc") == [f"{tmp_path}/scene.png"]
    assert lines.completed("is it ", f"{tmp_path}/sc") == []


@pytest.fixture
def typed(peer):
    """Starts it on a terminal."""
    environment = {**os.environ, "PYTHONPATH": "sdk", "HEROSERVE_TARGET": peer.target, "TERM": "xterm"}
    return lambda *args: terminal([sys.executable, "-m", "heroserve", "chat", *args], environment)


def test_at_a_terminal(typed, peer):
    def hangs(request, context):
        yield from peer.hang(request, context)

    screen: Terminal
    with typed(SCENE) as screen:
        screen.see("Ctrl-D ends")
        screen.see("> ")
        screen.type("One?\r")
        screen.see("A red [bold]bus")
        screen.see("> ")
        # What was typed comes again.
        screen.type("\x1b[A\r")
        screen.see("A red [bold]bus")
        screen.see("> ")
        # A mistake costs its line.
        screen.type("/nonsense\r")
        screen.see("there is no /nonsense")
        screen.see("> ")
        screen.type("half a li\x03")
        screen.see("Ctrl-D or /quit ends")
        screen.see("> ")
        peer.script.append(hangs)
        screen.type("Three?\r")
        screen.see("Well, ")
        screen.type("\x03")
        screen.see("goes on from what came")
        assert peer.cancelled.wait(10)
        screen.see("> ")
        peer.script.append(lambda request, context: context.abort(grpc.StatusCode.INTERNAL, "lost"))
        screen.type("Four?\r")
        screen.see("failed: lost")
        screen.see("> ")
        screen.type("Five?\r")
        screen.see("A red [bold]bus")
        screen.see("> ")
        screen.type("\x04")
        assert screen.end() == 0
    assert "Traceback" not in screen.shown
    said = [text for _, text in texts(asked(peer)[-1])]
    assert said == ["One?", "A red [bold]bus", "One?", "A red [bold]bus", "Three?", "Well, ", "Five?"]


def test_an_answer_that_is_stopped_before_it_begins_is_no_turn(typed, peer):
    asking = threading.Event()

    def silent(request, context):
        context.add_callback(peer.cancelled.set)
        asking.set()
        peer.cancelled.wait(30)
        yield from ()

    with typed(SCENE, "--no-stream") as screen:
        screen.see("> ")
        peer.script.append(silent)
        screen.type("One?\r")
        screen.see("looking at the picture")
        assert asking.wait(30)
        screen.type("\x03")
        screen.see("the question is forgotten")
        screen.see("> ")
        screen.type("Two?\r")
        screen.see("A red [bold]bus")
        screen.see("> ")
        screen.type("/quit\r")
        assert screen.end() == 0
    assert texts(asked(peer)[-1]) == [("USER", "Two?")]
    assert images(asked(peer)[-1]) == [[digest(SCENE)]]
