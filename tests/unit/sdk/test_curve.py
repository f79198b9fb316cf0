"""`heroserve curve`: what counts as right, how sure that is, and what comes of questions that lack an answer."""

from __future__ import annotations

import csv
import json
import random
import xml.etree.ElementTree as ET
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from heroserve.cli import app
from heroserve.curve import Match, Row, is_right, measure
from heroserve.v1 import chat_pb2, tokens_pb2
from tests.unit.sdk.conftest import asked


@pytest.mark.parametrize(
    ("rule", "answer", "expected", "right"),
    [
        ("exact", " The  Cat.\n", "the cat", True),
        ("exact", "“Straße”", "STRASSE", True),
        ("exact", "cat", "dog", False),
        ("exact", "the cat", "cat", False),
        ("exact", "-5", "5", False),
        ("exact", ".5", "5", False),
        ("exact", "C#", "C", False),
        ("exact", "50%", "50", False),
        ("exact", "?", "!", False),
        ("exact", "?", "?", True),
        ("exact", "\uff11\uff12", "12", True),
        ("exact", "", "x", False),
        ("contains", "It is a CAT, I think.", "cat", True),
        ("contains", "concatenated", "cat", False),
        ("contains", "a big  red bus", "big red", True),
        ("contains", "it costs $5.00.", "$5.00", True),
        ("contains", "15", "5", False),
        ("contains", "\u7ea2\u8272\u7684\u8f66", "\u7ea2\u8272", True),
        ("contains", "", "cat", False),
        ("numeric", "There are 3 of them.", "3", True),
        ("numeric", "1,234.50 dollars", "1234.5", True),
        ("numeric", "1e3", "1000", True),
        ("numeric", "\u22124", "-4", True),
        ("numeric", "-4", "4", False),
        ("numeric", "3 or 4", "3", False),
        ("numeric", "3, yes, 3", "3", True),
        ("numeric", "B3", "3", False),
        ("numeric", "5-7", "7", False),
        ("numeric", "three", "3", False),
        ("numeric", "104", "100", False),
        ("numeric", "9" * 400, "9" * 500, False),
    ],
)
def test_what_is_right(rule, answer, expected, right):
    assert is_right(answer, (expected,), Match(rule)) == right
    assert is_right(answer, ("no such thing 0", expected), Match(rule)) == right


def test_a_tolerance_is_a_share_of_what_is_right():
    for answer, right in (("105", True), ("95.0", True), ("106", False), ("94", False)):
        assert is_right(answer, ("100",), Match("numeric", 0.05)) == right
    assert not is_right("0.01", ("0",), Match("numeric", 0.5))


def rows(count: int, each: int, share: float, drop: float) -> list[Row]:
    """`each` questions about each of `count` pictures, whose answers are all right or all wrong."""
    rng = random.Random(1)
    found = []
    for picture in range(count):
        right = rng.random() < share
        less = right and rng.random() >= drop
        found += [Row(picture, (right, less), (100, 20), 100)] * each
    return found


def test_an_interval_is_of_pictures():
    """Ten questions about each tell no more than one does, where they are right or wrong together."""
    one, ten = (measure(rows(200, each, 0.7, 0.2), (1.0, 0.2)) for each in (1, 10))
    for point, same in zip(one.points, ten.points, strict=True):
        assert point == same
    first, last = one.points
    # As of the binomial: 2 x 1.96 x sqrt(0.7 x 0.3 / 200) = 0.127.
    assert 0.1 < first.high - first.low < 0.15
    assert first.low < first.right < first.high
    assert (first.change, first.change_low, first.change_high) == (0, 0, 0)
    assert last.change == pytest.approx(last.right - first.right)
    # Paired: the difference is surer than either.
    assert last.change_high - last.change_low < 0.8 * (last.high - last.low)
    assert (one.questions, one.pictures, one.drawn, one.total, last.kept) == (200, 200, "pictures", 100, 20)
    few = measure(rows(3, 50, 0.5, 0.2), (1.0, 0.2))
    assert (few.drawn, few.pictures) == ("questions", 3)


@pytest.fixture
def run(peer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Path(name).write_bytes(b"\x89PNG " + name.encode())
    env = {"HEROSERVE_TARGET": peer.target, "HEROSERVE_API_KEY": None}
    return lambda *args: CliRunner(env=env).invoke(app, ["curve", "q.jsonl", *args])


def write(*questions) -> None:
    Path("q.jsonl").write_text("".join(json.dumps(each) + "\n" for each in questions))


def sees(*known: str):
    """A step of the peer's script: with few tokens it knows these questions' answers alone."""

    def answer(request, context):
        retention, text = request.budget.retention, request.messages[-1].parts[-1].text
        yield chat_pb2.GenerateResponse(delta="Yes." if retention > 0.5 or text in known else "No idea.")
        kept = int(100 * retention)
        yield chat_pb2.GenerateResponse(
            finish_reason=chat_pb2.GenerateResponse.STOP,
            savings=tokens_pb2.Savings(total=100, kept=kept, dropped=100 - kept),
        )

    return answer


def describe(request, context):
    return chat_pb2.ChatDescription(model="scripted", trained=True)


def test_a_table_and_a_plot(run, peer):
    write(
        {"image": "a.png", "question": "1?", "answer": "yes"},
        {"image": "a.png", "question": "2?", "answers": ["yes", "oui"], "retention": 0.3},
        {"image": "b.png", "question": "3?", "answer": "Yes", "match": "contains"},
        {"image": "b.png", "question": "4?", "answer": "never"},
    )
    peer.script.extend([describe, *[sees("1?")] * 8])
    done = run("--retentions", "0.2, 1", "-o", "out")
    assert done.exit_code == 0, done.stderr
    table = done.stdout.splitlines()
    assert table[0] == "| retention | visual tokens | dropped | right | 95% interval | against 1 |"
    assert table[2].startswith("| 1 | 100.0 | 0.0% | 75.0% | ")
    assert table[3].startswith("| 0.2 | 20.0 | 80.0% | 25.0% | ")
    assert "| -50.0 (" in table[3]
    assert table[-1] == "4 questions about 2 pictures. Intervals: bootstrap over questions."
    # The line's own budget is not what is measured; each picture crossed the network once.
    assert sorted(request.budget.retention for request in asked(peer)) == [0.2] * 4 + [1.0] * 4
    assert sorted(seen.image_bytes for seen in peer.seen)[-3:] == [0, 10, 10]
    assert Path("out/curve.md").read_text() == done.stdout
    found = json.loads(Path("out/curve.json").read_text())
    assert [point["right"] for point in found["points"]] == [0.75, 0.25]
    with open("out/curve.csv", newline="") as file:
        assert [(row["retention"], row["kept"]) for row in csv.DictReader(file)] == [("1.0", "100.0"), ("0.2", "20.0")]
    svg = ET.parse("out/curve.svg").getroot()
    texts = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"75.0%", "25.0%", "100 (1)", "20 (0.2)"} <= set(texts)
    dots = list(svg.iter("{http://www.w3.org/2000/svg}circle"))
    few, all_ = ((float(dot.get("cx")), float(dot.get("cy"))) for dot in dots)
    assert few[0] < all_[0]
    assert few[1] > all_[1]


def test_it_goes_on_and_takes_more_retentions(run, peer):
    write(*[{"image": "a.png", "question": f"{number}?", "answer": "yes"} for number in range(3)])
    peer.script.extend([describe, *[sees()] * 3])
    assert run("--retentions", "1", "-o", "out").exit_code == 0
    peer.script.extend([describe, *[sees()] * 3])
    done = run("--retentions", "1,0.5", "-o", "out", "--json")
    assert len(asked(peer)) == 6
    assert [point["right"] for point in json.loads(done.stdout)["points"]] == [1.0, 0.0]
    done = run("--retentions", "1", "-o", "out", "--max-tokens", "3")
    assert done.exit_code == 2
    assert "has answers with no options, and these would be with max_tokens 3" in done.stderr


def test_what_has_no_answer_counts_at_no_retention(run, peer):
    write(
        {"image": "a.png", "question": "1?", "answer": "yes"},
        {"image": "a.png", "question": "2?"},
        {"image": "no.png", "question": "3?", "answer": "yes"},
        {"image": "a.png", "question": "4?", "answer": "many", "match": "numeric"},
        {"image": "a.png", "question": "5?", "answer": "yes"},
    )
    invalid = lambda request, context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")  # noqa: E731
    peer.script.extend([describe, sees(), sees(), sees(), invalid])
    done = run("--retentions", "1,0.2", "-o", "out", "--concurrency", "1")
    assert done.exit_code == 3
    assert "1 question about 1 picture; 4 others left out, without an answer at every retention." in done.stdout
    assert "line 2: answer: is missing; it is what the service's answer is compared with" in done.stderr
    assert "line 4: answer: is 'many', which is not one number; the rule is numeric" in done.stderr
    peer.script.extend([describe, sees()])
    assert "2 questions about 1 picture; 3 others" in run("--retentions", "1,0.2", "-o", "out").stdout


def test_of_nothing_there_is_no_curve(run, peer, tmp_path):
    write({"image": "a.png", "question": "2?"})
    done = run("--retentions", "1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "heroserve: no question has an answer at every retention: there is no curve"


def test_refusals(run, peer, tmp_path):
    write({"image": "a.png", "question": "2?", "answer": "yes"})
    for arguments, told in {
        ("--retentions", "1,0"): "--retentions: is 0; it must be a number above 0 and at most 1",
        ("--retentions", ""): "--retentions: is ",
        ("--retentions", "1;0.5"): "--retentions: is 1;0.5; ",
        ("--match", "like"): "--match: is like; it must be one of exact, contains, numeric",
        ("-o", "q.jsonl"): "--output: q.jsonl is a file; name a folder",
        ("-o", "q.jsonl/x"): "--output: q.jsonl/x can't be made: Not a directory",
    }.items():
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (2, ""), done.stderr
        assert done.stderr.startswith(f"heroserve: {told}"), done.stderr
        assert done.stderr.count("\n") == 1
    assert asked(peer) == []
