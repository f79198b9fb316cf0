"""--explain draws what was kept into a file; what keeps it from doing so is told before anything is asked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from heroserve.cli import app
from heroserve.cli.explaining import apart
from heroserve.cli.writable import problem_of
from heroserve.images import image_digest
from heroserve.v1.chat_pb2 import Explanation, GenerateResponse
from heroserve.v1.encoder_pb2 import Tile, TileExplanation, VisualTokens
from heroserve.v1.tokens_pb2 import Savings
from tests.support.explained import GRID
from tests.support.pictures import encoded, picture
from tests.unit.sdk.conftest import LAST

DATA = encoded(picture(100, 50))
TILES = [
    Tile(index=0, valid=16, positions=[0, 5]),
    Tile(index=1, valid=16, positions=[1], importance=0.5, explanation=TileExplanation(saliency=1)),
    Tile(index=2, valid=16, positions=[2], importance=0.5, explanation=TileExplanation(density=1)),
]
SAVINGS = Savings(total=48, kept=4, dropped=44)


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "bus.png"
    path.write_bytes(DATA)
    return str(path)


@pytest.fixture
def run(peer):
    env = {"HEROSERVE_TARGET": peer.target, "HEROSERVE_ENCODER_TARGET": peer.target, "HEROSERVE_API_KEY": None}
    return lambda *args: CliRunner(env=env).invoke(app, args)


def explains(digest: str = image_digest(DATA)):
    def answers(request, context):
        yield GenerateResponse(delta="A bus")
        last = GenerateResponse()
        last.CopyFrom(LAST)
        last.savings.prefill_flops = 2e9
        explanation = Explanation(image_digest=digest, question="What?", grid=GRID, tiles=TILES, savings=SAVINGS)
        last.explanations.append(explanation)
        yield last

    return answers


@pytest.mark.parametrize("ending", ["png", "PNG", "jpg", "webp"])
def test_ask(run, peer, image, tmp_path, ending):
    file = tmp_path / f"out.{ending}"
    peer.script.extend([lambda request, context: peer.chat, explains()])
    done = run("ask", image, "What?", "--explain", str(file))
    assert (done.exit_code, done.stdout) == (0, "A bus\n"), done.stderr
    assert "drawn in" in done.stderr
    assert peer.seen[-1].request.explain
    with Image.open(file) as drawn:
        assert drawn.width > 1000
    peer.script.clear()
    assert run("ask", image, "What?").exit_code == 0
    assert not peer.seen[-1].request.explain


def test_ask_as_json_has_the_explanation_too(run, peer, image, tmp_path):
    peer.script.extend([lambda request, context: peer.chat, explains()])
    done = run("ask", image, "What?", "--json", "--explain", str(tmp_path / "out.png"))
    answer = json.loads(done.stdout)
    (explanation,) = answer["explanations"]
    assert [tile["positions"] for tile in explanation["tiles"]] == [[0, 5], [1], [2]]
    assert explanation["savings"]["prefill_flops"] == answer["savings"]["prefill_flops"] == 2e9
    assert done.stderr == ""


def test_encode(run, peer, image, tmp_path):
    file = tmp_path / "out.png"
    tokens = VisualTokens(image_digest=image_digest(DATA), grid=GRID, tiles=TILES, savings=SAVINGS)
    peer.script.append(lambda request, context: tokens)
    done = run("encode", image, "What?", "--explain", str(file))
    assert done.exit_code == 0, done.stderr
    assert "row 0 col 1" in done.stdout
    assert peer.seen[0].request.explain
    with Image.open(file) as drawn:
        assert drawn.width > 1000


@pytest.mark.parametrize("command", ["ask", "encode"])
def test_what_can_not_be_written_is_told_before_anything_is_asked(run, peer, image, tmp_path, monkeypatch, command):
    folder = tmp_path / "folder.png"
    folder.mkdir()
    told = {
        str(tmp_path / "out.txt"): "must be a picture to write, ending in .png, .jpg, .jpeg, .webp",
        str(tmp_path / "no" / "out.png"): "is in a folder that is not there",
        str(folder): "is a folder",
        image: "--explain is IMAGE itself, which would be written over",
    }
    for file, words in told.items():
        done = run(command, image, "What?", "--explain", file)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("heroserve: --explain")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    # A flag, as `encode` once had it: no picture is taken for the file to write.
    for args in ([image, "What?", "--explain"], ["--explain", image, "What?"]):
        done = run(command, *args)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = run(command, image, "What?", "--explain", str(tmp_path / "out.png"))
    assert "needs Pillow, which is not installed here: pip install 'heroserve[images]'" in done.stderr
    assert peer.seen == []
    assert Path(image).read_bytes() == DATA


def test_a_service_that_tells_nothing(run, peer, image, tmp_path):
    done = run("ask", image, "What?", "--explain", str(tmp_path / "out.png"))
    assert (done.exit_code, done.stdout) == (1, "A red [bold]bus\n")
    assert "--explain: the service tells nothing of what it kept; it is older" in done.stderr.splitlines()[-1]


def test_a_picture_that_can_not_be_drawn(run, peer, image, tmp_path):
    peer.script.extend([lambda request, context: peer.chat, explains("0" * 64)])
    done = run("ask", image, "What?", "--explain", str(tmp_path / "out.png"))
    assert (done.exit_code, done.stdout) == (1, "A bus\n")
    assert "--explain: is not the one that was explained" in done.stderr.splitlines()[-1]
    assert not os.path.exists(tmp_path / "out.png")


@pytest.mark.parametrize("command", ["ask", "encode"])
def test_what_only_writing_would_show_is_told_before_anything_is_asked(run, peer, image, tmp_path, command):
    (tmp_path / "dangling.png").symlink_to(tmp_path / "missing" / "out.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    told = {
        "": "is empty; it must be a picture to write",
        " ": "is empty; it must be a picture to write",
        **dict.fromkeys((".png", f"{tmp_path}/.png", f"{tmp_path}/.JPG", "..webp"), "with a name before that"),
        f"{tmp_path}/{'x' * 252}.png": "can't be written: File name too long",
        f"{tmp_path}/dangling.png": "is in a folder that is not there",
        f"{image}/out.png": "is in a folder that is not there",
        f"{tmp_path}/loop.png": "can't be written: Too many levels of symbolic links",
        f"{tmp_path}/pipe.png": "is no regular file",
        "a\0b.png": "can't be written",
    }
    before = sorted(os.listdir(tmp_path))
    for file, words in told.items():
        done = run(command, image, "What?", "--explain", file)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), file
        assert done.stderr.startswith("heroserve: --explain: ")
        assert words in done.stderr
    assert peer.seen == []
    assert sorted(os.listdir(tmp_path)) == before


def test_a_format_that_pillow_was_built_without(run, peer, image, tmp_path, monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.SAVE, "WEBP")
    done = run("ask", image, "What?", "--explain", str(tmp_path / "out.webp"))
    assert (done.exit_code, peer.seen) == (2, [])
    assert "Pillow writes no .webp here; end it in .png" in done.stderr


def test_trying_whether_a_file_can_be_written_leaves_all_as_it_was(tmp_path):
    there, link = tmp_path / "there.png", tmp_path / "link.png"
    there.write_bytes(b"old")
    link.symlink_to(tmp_path / "later.png")
    for file in (there, link, tmp_path / "new.png", tmp_path / (251 * "x" + ".png")):
        assert problem_of(str(file)) == ""
    assert there.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["link.png", "there.png"]


def test_stdin_is_not_written_over_either(image, tmp_path, monkeypatch):
    with open(image, encoding="latin-1") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(typer.BadParameter, match="is IMAGE itself"):
            apart(image, "-")
        apart(str(tmp_path / "out.png"), "-")
    monkeypatch.setattr("sys.stdin", None)
    apart(image, "-")


def lying(change):
    """Answers whose explanation is no true one."""

    def answers(request, context):
        for response in explains()(request, context):
            for explanation in response.explanations:
                change(explanation)
            yield response

    return answers


@pytest.mark.parametrize("as_json", [False, True])
def test_an_explanation_that_is_nonsense_ends_in_a_line_after_the_answer(run, peer, image, tmp_path, as_json):
    """The answer had its price: it is on stdout, with --json too."""

    def change(explanation):
        explanation.tiles[1].importance = float("nan")

    peer.script.extend([lambda request, context: peer.chat, lying(change)])
    done = run("ask", image, "What?", "--explain", str(tmp_path / "out.png"), *(["--json"] if as_json else []))
    assert done.exit_code == 1
    last = done.stderr.splitlines()[-1]
    assert "--explain: tile 1 has importance nan" in last
    if as_json:
        assert json.loads(done.stdout)["text"] == "A bus"
        error = json.loads(last)["error"]
        assert (error["status"], error["option"]) == (1, "--explain")
    else:
        assert done.stdout == "A bus\n"
    assert not os.path.exists(tmp_path / "out.png")


def test_encoded_tokens_without_positions_end_in_a_line(run, peer, image, tmp_path):
    tokens = VisualTokens(grid=GRID, tiles=[Tile(index=0, valid=16)], savings=SAVINGS)
    peer.script.append(lambda request, context: tokens)
    done = run("encode", image, "What?", "--json", "--explain", str(tmp_path / "out.png"))
    assert done.exit_code == 1
    assert json.loads(done.stdout)["grid"]["rows"] == 1
    assert "--explain: there are no positions" in json.loads(done.stderr)["error"]["message"]


def test_a_cache_that_this_command_does_not_know(run, peer, image):
    peer.script.append(lambda request, context: VisualTokens(grid=GRID, tiles=TILES, savings=SAVINGS, cache=9))
    done = run("encode", image, "What?")
    assert done.exit_code == 0
    assert "cache 9" in done.stdout
