"""`heroserve batch` as a command: what stands in the file of answers afterwards, whatever was in either file before."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from heroserve.batch import lines
from heroserve.cli import app
from heroserve.v1 import chat_pb2
from tests.unit.sdk.conftest import asked

SDK = str(Path("sdk").resolve())
PICTURE = b"\x89PNG bus"
URL = "data:image/png;base64," + base64.b64encode(b"\x89PNG other").decode()


@pytest.fixture
def run(peer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bus.png").write_bytes(PICTURE)
    env = {"HEROSERVE_TARGET": peer.target, "HEROSERVE_API_KEY": None}
    return lambda *args, **extra: CliRunner(env=env | extra).invoke(app, args)


def texts(peer) -> list[str]:
    return [request.messages[-1].parts[-1].text for request in asked(peer)]


def write(*questions, name: str = "q.jsonl") -> str:
    Path(name).write_text("".join((q if isinstance(q, str) else json.dumps(q)) + "\n" for q in questions))
    return name


def read(name: str = "a.jsonl") -> list[dict]:
    """By line of the questions, as records come in any order."""
    records = [json.loads(line) for line in Path(name).read_bytes().decode().splitlines()]
    return sorted(records, key=lambda record: record.get("line") or record["heroserve"]["line"])


def about(text: str, **more) -> dict:
    return {"image": "bus.png", "question": text, **more}


def test_answers_and_what_they_cost(run, peer):
    write(about("What?", id="one", answer="A bus", metadata={"split": "test"}), about("Who?", retention=0.5, seed=5.0))
    done = run("batch", "q.jsonl", "-o", "a.jsonl", "--max-visual-tokens", "9", "--max-tokens", "7")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("2 answers in a.jsonl · ")
    assert "visual tokens 520 of 2600 kept (80.0% dropped)" in done.stderr
    one, two = read()
    assert one["answer"] == "A red [bold]bus"
    assert (one["id"], one["image"], one["question"]) == ("one", "bus.png", "What?")
    assert (one["expected"], one["metadata"]) == (["A bus"], {"split": "test"})
    assert one["savings"]["dropped"] == 1040
    assert one["request_id"] in {seen.metadata["request_id"] for seen in peer.seen}
    assert "id" not in two
    what, who = sorted(asked(peer), key=lambda request: request.messages[0].parts[-1].text)
    assert (what.budget.max_visual_tokens, what.sampling.max_tokens) == (9, 7)
    # The line's own budget, of whatever kind, is in the place of the command's.
    assert (who.budget.HasField("max_visual_tokens"), who.budget.retention, who.sampling.seed) == (False, 0.5, 5)


def test_a_picture_is_sent_once(run, peer):
    write(*[about(f"{number}?") for number in range(20)])
    assert run("batch", "q.jsonl", "-o", "a.jsonl", "--concurrency", "6").exit_code == 0
    assert sorted(seen.image_bytes for seen in peer.seen)[-2:] == [0, len(PICTURE)]
    assert len(read()) == 20


def test_one_bad_line_costs_one_line(run, peer):
    bad = {
        '{"image": "bus.png", "question"': "is no JSON: Expecting ':' delimiter in column ",
        "7": "is a number; a question is an object of JSON",
        '{"image": "bus.png", "image": "bus.png", "question": "?"}': "has 'image' twice",
        '{"image": "bus.png", "question": "?", "seed": NaN}': "is no JSON: NaN is no number",
        "[" * 100_000: "is JSON of too many objects",
        json.dumps({"image": "bus.png"}): "question: is null; it must be a string",
        json.dumps({"image": "bus.png", "question": " "}): "question: is empty",
        json.dumps({"image": "bus.png", "question": "\ud800"}): "question: has half a character (a lone surrogate)",
        json.dumps(about("?", stop=["a", "\udc00"])): "stop: has half a character",
        json.dumps({"image": "a\ud800", "question": "?"}): "image: cannot read ",
        '{"image": "bus.png", "question": "?", "id": ' + "7" * 5000 + "}": "has a number of 5000 digits; the limit is",
        json.dumps(about("?", temperature=10**900)): "temperature: is larger than any number it can hold",
        json.dumps({"question": "?"}): "image: is missing; it is a path",
        json.dumps({"image": ["bus.png"], "question": "?"}): "image: is an array; it must be a string",
        json.dumps({"image": "", "question": "?"}): "image: the path is empty",
        json.dumps({"image": "no.png", "question": "?"}): "image: cannot read no.png: No such file",
        json.dumps({"image": ".", "question": "?"}): "image: cannot read .: it is a directory",
        json.dumps({"image": "/dev/zero", "question": "?"}): "image: cannot read /dev/zero: it is no regular file",
        json.dumps({"image": "https://x/y.png", "question": "?"}): "image: https: URLs are not fetched",
        json.dumps({"image": "a\0b", "question": "?"}): "image: cannot read ",
        json.dumps({"images": ["bus.png", "no.png"], "question": "?"}): "images[1]: cannot read no.png",
        json.dumps(about("?", retenton=0.2)): "retenton: is no key of a question; they are image, ",
        json.dumps(about("?", retention="much")): "retention: expected a number, got str",
        json.dumps(about("?", retention=0.1, max_visual_tokens=3)): "retention and max_visual_tokens are two ways",
        json.dumps(about("?", max_tokens=-1)): "max_tokens: expected a whole number from 1 to 4294967295, got -1",
        json.dumps(about("?", max_visual_tokens=-1)): "max_visual_tokens: expected a whole number from 1 to ",
        json.dumps(about("?", seed=-1)): "seed: expected a whole number from 0 to ",
        json.dumps(about("?", stop=3)): "stop: ",
        json.dumps(about("?", id=[1])): "id: is an array; it must be a string or a whole number",
        json.dumps(about("?", id="good")): "id: is that of line 1 too",
        json.dumps(about("?", answer=[])): "answer: is an array; it must be",
        json.dumps(about("?", match="roughly")): "match: is a string; it must be one of exact, contains, numeric",
    }
    write(about("First?", id="good"), *bad, about("Last?"))
    done = run("batch", "q.jsonl", "-o", "a.jsonl")
    assert done.exit_code == 3
    first, *middle, last = read()
    assert first["answer"] == last["answer"] == "A red [bold]bus"
    assert last["line"] == len(bad) + 2
    assert sorted(texts(peer)) == ["First?", "Last?"]
    for number, (record, words) in enumerate(zip(middle, bad.values(), strict=True), start=2):
        assert record["error"]["message"].startswith(f"line {number}: {words}"), record["error"]
        assert (record["error"]["line"], record["error"]["code"]) == (number, "INVALID_ARGUMENT")
        field = words.partition(": ")[0]
        assert record["error"].get("field", "") == ("" if " " in field or ":" not in words else field)
    assert f"{len(bad)} failed: the same command asks them again" in done.stderr
    # In nobody's words but ours.
    assert not any(words in Path("a.jsonl").read_text() for words in ("codec", "null byte", "sys.set_int"))
    # The first ones are told at once.
    assert done.stderr.splitlines()[0].startswith("line 2: is no JSON")


def test_what_the_service_refuses_is_named_as_the_line_has_it(run, peer):
    details = {
        "messages[1].parts[0].image.data: is no image": "image",
        "messages[0].parts[0].text: is too long": "system",
        "messages[1].parts[1].text: is too long": "question",
        "messages: are too long": "question",
        "messages: have 2 images; the limit is 1": "images",
        "budget.retention: is 3": "retention",
        "sampling.stop[1]: is empty": "stop[1]",
        "the picture: is odd": "",
    }
    for each in details:
        peer.script.append(lambda request, context: chat_pb2.ChatDescription(trained=True))
        peer.script.append(lambda request, context, each=each: context.abort(grpc.StatusCode.INVALID_ARGUMENT, each))
        write(about("What?", system="Be brief."))
        assert run("batch", "q.jsonl", "-o", "a.jsonl").exit_code == 3
        (record,) = read()
        assert record["error"].get("field", "") == details[each]
        assert record["error"]["request_id"] == peer.seen[-1].metadata["request_id"]


def test_odd_files_of_questions(run, peer):
    line = json.dumps(about("What?")).encode()
    for data in (b"\xef\xbb\xbf" + line, line + b"\r\n", b"\r\n\n  \n" + line + b"\n\n", b"\xef\xbb\xbf\r\n" + line):
        Path("q.jsonl").write_bytes(data)
        Path("a.jsonl").unlink(missing_ok=True)
        done = run("batch", "q.jsonl", "-o", "a.jsonl")
        assert (done.exit_code, [record["answer"] for record in read()]) == (0, ["A red [bold]bus"]), done.stderr
    Path("q.jsonl").write_bytes(line + b"\n\xff\xfe\xfd\n")
    assert run("batch", "q.jsonl", "-o", "a.jsonl").exit_code == 3
    assert read()[-1]["error"]["message"] == "line 2: is not UTF-8: byte 1 is 0xff"


def test_an_empty_answer_is_one_and_is_told_of(run, peer):
    peer.deltas = [" ", ""]
    write(about("What?"), about("Who?"))
    done = run("batch", "q.jsonl", "-o", "a.jsonl")
    assert (done.exit_code, len(read())) == (0, 2)
    assert done.stderr.splitlines()[-1].startswith("warning: 2 answers are empty: the model ended at once; ")
    done = run("batch", "q.jsonl", "-o", "b.jsonl", "--json")
    assert json.loads(done.stdout)["empty"] == 2


def test_answers_go_to_a_file_and_not_to_stdout(run, peer):
    write(about("What?"))
    for command in ("batch", "curve"):
        done = run(command, "q.jsonl", "-o", "-")
        assert (done.exit_code, done.stderr[:22]) == (2, "heroserve: --output: is -"[:22]), done.stderr
    assert (peer.seen, Path("-").exists()) == ([], False)


def test_pipes_are_read_once(run, peer):
    line = json.dumps(about("What?"))
    env = {"HEROSERVE_TARGET": peer.target, "PYTHONPATH": SDK}
    command = f"{sys.executable} -m heroserve batch"
    piped = f"echo '{line}' | {command} - -o a.jsonl; {command} <(echo '{line}'; echo 7) -o a.jsonl; echo $?"
    done = subprocess.run(["bash", "-c", piped], env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert done.stdout == "3\n", done.stderr
    assert [record.get("answer") for record in read()] == ["A red [bold]bus", None]
    assert len(texts(peer)) == 1


def test_a_line_that_no_request_could_hold_is_one_line(run, peer, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 100)
    write("x" * 101, about("What?"), "", "y" * 3_000_000, about("Who?"))
    assert run("batch", "q.jsonl", "-o", "a.jsonl").exit_code == 3
    records = read()
    assert [record["line"] for record in records] == [1, 2, 4, 5]
    assert records[2]["error"]["message"].startswith("line 4: is of 3000001 bytes; the limit is ")
    assert len(texts(peer)) == 2


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "has no questions in it"),
        (b"\n \n", "has no questions in it"),
        (b'[{"image": "bus.png"}]', "is one JSON document"),
        (b'\n{\n"image": "bus.png"\n}', "is one JSON document"),
        ('{"image": 1}'.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"\x1f\x8b\x08", "is gzip"),
        (PICTURE, "is a picture; `heroserve ask`"),
    ],
)
def test_files_that_hold_no_questions(run, peer, data, told):
    Path("q.jsonl").write_bytes(data)
    done = run("batch", "q.jsonl", "-o", "a.jsonl")
    assert (done.exit_code, done.stdout, peer.seen) == (2, "", [])
    assert done.stderr.startswith(f"heroserve: QUESTIONS: q.jsonl {told}")
    assert done.stderr.count("\n") == 1
    assert not os.path.exists("a.jsonl")


def test_what_can_not_be_done_is_told_before_anything_is_asked(run, peer, tmp_path):
    write(about("What?"))
    Path("other.txt").write_text("mine\n")
    Path("other.json").write_text('{"mine": 1}')
    Path("blob").write_bytes(b"\xff\xd8 mine")
    os.mkfifo("pipe")
    os.symlink("q.jsonl", "link.jsonl")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for arguments, told in {
        ("nowhere.jsonl", "-o", "a"): "QUESTIONS: cannot read nowhere.jsonl: No such file or directory",
        ("/dev/null", "-o", "a"): "QUESTIONS: /dev/null is a device or a socket",
        ("q.jsonl", "-o", "q.jsonl"): "--output: is QUESTIONS itself",
        ("q.jsonl", "-o", "./link.jsonl"): "--output: is QUESTIONS itself",
        ("q.jsonl", "-o", "."): "--output: . is a folder",
        ("q.jsonl", "-o", "pipe"): "--output: pipe is no regular file",
        ("q.jsonl", "-o", "/dev/full"): "--output: /dev/full is no regular file",
        ("q.jsonl", "-o", "no/a"): "--output: no/a is in a folder that is not there",
        ("q.jsonl", "-o", "q.jsonl/a"): "--output: q.jsonl/a is in a folder that is not there",
        ("q.jsonl", "-o", "other.txt"): "--output: other.txt has a line 1 that is no answer of a batch",
        ("q.jsonl", "-o", "other.json"): "--output: other.json has a line 1 that is no answer of a batch",
        ("q.jsonl", "-o", "blob"): "--output: blob has a line 1 that is no answer of a batch",
        ("q.jsonl",): "--output is missing; see",
        ("q.jsonl", "-o", "a", "-q", "What?"): "--question: is for a folder of images",
        (".", "-o", "a"): "QUESTIONS: . is a folder of images; say what to ask",
        ("q.jsonl", "-o", "a", "--concurrency", "0"): "--concurrency: is 0; it must be a whole number from 1",
        ("q.jsonl", "-o", "a", "--retention", "0.1", "--max-visual-tokens", "1"): "--retention and --max-visual",
    }.items():
        done = run("batch", *arguments)
        assert (done.exit_code, done.stdout) == (2, ""), arguments
        assert done.stderr.startswith(f"heroserve: {told}"), done.stderr
        assert done.stderr.count("\n") == 1
    assert asked(peer) == []
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_folder_of_images(run, peer, tmp_path):
    folder = tmp_path / "odd [name]\n\u00e9"
    (folder / "in").mkdir(parents=True)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"\x89PNG hidden")
    (folder / "B.JPG").write_bytes(b"\xff\xd8 b")
    (folder / "in" / "a\n.png").write_bytes(b"\x89PNG a")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(b"\x89PNG c")
    os.symlink(folder, folder / "in" / "round")
    assert run("batch", str(folder), "-q", "What?", "-o", "a.jsonl").exit_code == 0
    assert [record["image"] for record in read()] == ["B.JPG", "in/a\n.png", "\udcff.png"]
    assert run("batch", str(folder), "-q", "What?", "-o", "a.jsonl").exit_code == 0
    assert len(texts(peer)) == 3
    done = run("batch", str(folder), "-q", " ", "-o", "a.jsonl")
    assert done.stderr.startswith("heroserve: --question: is empty")
    done = run("batch", str(folder / "in" / "none"), "-q", "What?", "-o", "a.jsonl")
    assert done.stderr.startswith("heroserve: QUESTIONS: cannot read ")
    (folder / "in" / "none").mkdir()
    done = run("batch", str(folder / "in" / "none"), "-q", "What?", "-o", "a.jsonl")
    assert done.exit_code == 2
    assert "has no images in it" in done.stderr


def openai(custom_id, content, **body) -> dict:
    body = {"model": "scripted", "messages": [{"role": "user", "content": content}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def test_openais_format(run, peer):
    picture = {"type": "image_url", "image_url": {"url": URL}}
    content = [picture, {"type": "text", "text": "What?"}]
    knobs = {"retention": 0.25, "share_budget": True}
    write(
        openai("one", content, max_tokens=4, max_completion_tokens=5, stop="x", seed=-1, heroserve=knobs, user="me"),
        openai("two", "Hello"),
        openai("one", content),
        openai("n", content, n=2),
        openai("far", [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]),
        openai("model", content, model="gpt-4o"),
        openai("stream", content, stream=True),
        {**openai("url", content), "url": "/v1/embeddings"},
        openai("none", content, messages=[]),
        openai("role", content, messages=[{"role": "tool", "content": "?"}]),
        openai("seed", content, seed=-(1 << 63) - 1),
    )
    done = run("batch", "q.jsonl", "-o", "a.jsonl")
    assert done.exit_code == 3
    one, two, *bad = read()
    assert one["custom_id"] == "one"
    assert one["error"] is None
    assert one["response"]["status_code"] == 200
    body = one["response"]["body"]
    assert (body["object"], body["model"]) == ("chat.completion", "scripted")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "A red [bold]bus", "refusal": None}
    assert body["usage"]["total_tokens"] == 295
    assert two["id"].startswith("batch_req_")
    request = next(each for each in asked(peer) if len(each.messages[0].parts) == 2)
    assert (request.budget.retention, request.share_budget) == (0.25, True)
    assert (request.sampling.max_tokens, list(request.sampling.stop)) == (5, ["x"])
    assert request.sampling.seed == (1 << 64) - 1
    assert request.messages[0].parts[0].image.data == b"\x89PNG other"
    assert [(record["custom_id"], record["response"]) for record in bad[1:3]] == [("n", None), ("far", None)]
    assert [record["error"]["message"].partition(": ")[2] for record in bad] == [
        "custom_id: is that of line 1 too",
        "body.n: is a number; one answer a request is served. Leave it out",
        "body.messages[0].content[0].image_url.url: https: URLs are not fetched; give a path, or the file's bytes",
        "body.model: is 'gpt-4o'; 'scripted' is served here",
        "body.stream: is true; answers of a batch come whole. Leave it out",
        "url: is a string; it must be /v1/chat/completions, which alone is answered",
        "body.messages: is empty; one message at least asks something",
        "body.messages[0].role: is a string; it must be system, developer, user or assistant",
        "body.seed: is a number; it must be a whole number from -9223372036854775808 to 18446744073709551615",
    ]
    assert len(asked(peer)) == 2
    run("batch", "q.jsonl", "-o", "a.jsonl")
    assert len(asked(peer)) == 2


def test_an_overload_is_waited_out(run, peer):
    write(*[about(f"{number}?") for number in range(12)])
    peer.script.append(lambda request, context: chat_pb2.ChatDescription(trained=True))

    def busy(request, context):
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "1"),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    peer.script.extend([busy] * 60)
    done = run("batch", "q.jsonl", "-o", "a.jsonl")
    assert (done.exit_code, len(read())) == (0, 12), done.stderr


@pytest.mark.parametrize(
    ("code", "most"), [(grpc.StatusCode.UNAUTHENTICATED, 8), (grpc.StatusCode.FAILED_PRECONDITION, 40)]
)
def test_a_service_that_answers_nobody_ends_it(run, peer, code, most):
    write(*[about(f"{number}?") for number in range(200)])
    peer.script.append(lambda request, context: chat_pb2.ChatDescription(trained=True))
    peer.script.extend([code] * 200)
    done = run("batch", "q.jsonl", "-o", "a.jsonl")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith(f"heroserve: {peer.target} ")
    assert len(asked(peer)) <= most
    peer.script.clear()
    assert run("batch", "q.jsonl", "-o", "a.jsonl").exit_code == 0
    assert len({record["line"] for record in read() if "answer" in record}) == 200


@pytest.mark.usefixtures("hurried")
def test_nobody_there(run, peer):
    write(about("What?"))
    peer.stop()
    done = run("batch", "q.jsonl", "-o", "a.jsonl")
    assert (done.exit_code, os.path.exists("a.jsonl")) == (1, False)
    assert "nobody answers at" in done.stderr


def test_as_json(run, peer):
    write(about("What?"), about("?", image="no.png"))
    done = run("batch", "q.jsonl", "-o", "a.jsonl", "--json")
    told = json.loads(done.stdout)
    assert (told["answered"], told["before"], told["failed"], told["output"]) == (1, 0, 1, "a.jsonl")
    assert told["savings"]["dropped"] == 1040
    assert (done.exit_code, done.stderr) == (3, "")
