"""What `ask` can say beside a picture and a question: several pictures, instructions, how an answer ends."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from PIL import Image
from typer.testing import CliRunner

from heroserve.cli import app
from heroserve.images import image_digest
from heroserve.v1.chat_pb2 import Explanation, GenerateResponse, Message
from tests.support.explained import GRID
from tests.support.pictures import encoded, picture
from tests.unit.sdk.conftest import LAST
from tests.unit.sdk.test_cli_explain import SAVINGS, TILES
from tests.unit.sdk.test_cli_refusals import INVALID, says

SCENE, SECOND = "examples/scene.png", "examples/world.png"


@pytest.fixture
def run(peer):
    env = {"HEROSERVE_TARGET": peer.target, "HEROSERVE_API_KEY": None}
    return lambda *args, stdin=None: CliRunner(env=env).invoke(app, args, input=stdin)


def test_several_pictures_go_in_order_before_the_question(run, peer):
    done = run("ask", "-", SECOND, SCENE, "Which?", "--share-budget", stdin=b"\x89PNG one")
    assert (done.exit_code, done.stdout) == (0, "A red [bold]bus\n"), done.stderr
    request = peer.seen[-1].request
    (message,) = request.messages
    assert [part.image.data for part in message.parts[:-1]] == [
        b"\x89PNG one",
        Path(SECOND).read_bytes(),
        Path(SCENE).read_bytes(),
    ]
    assert message.parts[-1].text == "Which?"
    assert request.share_budget
    assert run("ask", SCENE, "Which?").exit_code == 0
    assert not peer.seen[-1].request.share_budget


def test_stdin_is_one_picture(run, peer):
    done = run("ask", "-", "-", "Which?", stdin=b"\x89PNG")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "heroserve: IMAGE: is - 2 times, and stdin is one picture\n"
    assert peer.seen == []


def test_instructions_and_ends(run, peer):
    stops = ["--stop", "\n", "--stop", " red"]
    done = run("ask", SCENE, "What?", "--system", "Be brief.", *stops, "--json-schema", '{"type": "object"}')
    assert done.exit_code == 0, done.stderr
    request = peer.seen[-1].request
    assert [message.role for message in request.messages] == [Message.SYSTEM, Message.USER]
    assert request.messages[0].parts[0].text == "Be brief."
    assert list(request.sampling.stop) == ["\n", " red"]
    assert json.loads(request.sampling.json_schema) == {"type": "object"}


@pytest.mark.parametrize(
    ("details", "told", "option"),
    [
        ("messages[0].parts[0].text: is too long", "--system: is too long", "--system"),
        ("messages[1].parts[1].image.data: is no image; it is PDF", f"{SECOND}: is no image; it is PDF; draw", "IMAGE"),
        ("messages[1].parts[0].image.data: is no image", f"{SCENE}: is no image", "IMAGE"),
        ("messages[1].parts[2].text: is too long", "QUESTION: is too long", "QUESTION"),
        (
            "messages: have 2 images; the limit is 1",
            "IMAGE: there are 2; the limit is 1; the LLM",
            "IMAGE",
        ),
        ("sampling.stop[1]: has 70 characters; it must have 1", "--stop: has 70 characters; it must", "--stop"),
        ("sampling.json_schema: is not served by this engine", "--json-schema: is not served", "--json-schema"),
        ("share_budget: needs more", "--share-budget: needs more", "--share-budget"),
    ],
)
def test_of_several_things_the_one_that_is_refused_is_named(run, peer, details, told, option):
    for more in ([], ["--json"]):
        peer.script.extend([grpc.StatusCode.UNIMPLEMENTED, says(INVALID, details)])
        done = run("ask", SCENE, SECOND, "Which?", "--system", "Be brief.", *more)
        assert (done.exit_code, done.stdout) == (2, "")
        if more:
            assert json.loads(done.stderr)["error"]["option"] == option
        else:
            assert done.stderr.startswith(f"heroserve: {told}")
            assert done.stderr.count("\n") == 1


def test_an_answer_is_shown_once_it_is_whole(run, peer):
    shown = []

    def breaks(request, context):
        yield GenerateResponse(delta="A re")
        context.abort(grpc.StatusCode.INTERNAL, "lost")

    for option in ("--stream", "--no-stream"):
        peer.script.extend([lambda request, context: peer.chat, breaks])
        done = run("ask", SCENE, "What?", option)
        assert done.exit_code == 1
        shown.append(done.stdout)
    assert shown == ["A re\n", ""]
    assert run("ask", SCENE, "What?", "--no-stream").stdout == "A red [bold]bus\n"


def test_each_picture_is_explained_in_a_file_of_its_own(run, peer, tmp_path):
    images = [tmp_path / "bus.png", tmp_path / "car.png"]
    for turned, image in zip((0, 180), images, strict=True):
        image.write_bytes(encoded(picture(100, 50).rotate(turned)))

    def answers(request, context):
        yield GenerateResponse(delta="A bus")
        last = GenerateResponse()
        last.CopyFrom(LAST)
        for image in images:
            digest = image_digest(image.read_bytes())
            last.explanations.add().CopyFrom(
                Explanation(image_digest=digest, question="What?", grid=GRID, tiles=TILES, savings=SAVINGS)
            )
        yield last

    command = ["ask", *map(str, images), "What?", "--explain"]
    peer.script.extend([lambda request, context: peer.chat, answers])
    done = run(*command, str(tmp_path / "out.png"))
    assert (done.exit_code, done.stdout) == (0, "A bus\n"), done.stderr
    assert sorted(file.name for file in tmp_path.glob("out*")) == ["out-1.png", "out-2.png"]
    for number in (1, 2):
        with Image.open(tmp_path / f"out-{number}.png") as drawn:
            assert drawn.width > 1000
    seen = len(peer.seen)
    (tmp_path / "no-2.png").mkdir()
    done = run(*command, str(tmp_path / "no.png"))
    assert done.exit_code == 2
    assert f"{tmp_path}/no-2.png is a folder" in done.stderr
    images[0].rename(tmp_path / "its-2.png")
    images[0] = tmp_path / "its-2.png"
    done = run("ask", *map(str, images), "What?", "--explain", str(tmp_path / "its.png"))
    assert "--explain is IMAGE itself" in done.stderr
    assert len(peer.seen) == seen
