"""A batch that ends anywhere is gone on with: nothing is asked twice, nothing is lost, and no half of a line stays."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heroserve.batch import AnswerFile
from heroserve.cli import app
from heroserve.errors import ArgumentError
from heroserve.v1 import chat_pb2
from tests.support.terminal import HEARING
from tests.unit.sdk.conftest import LAST, asked

SDK = str(Path("sdk").resolve())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bus.png").write_bytes(b"\x89PNG bus")
    return tmp_path


@pytest.fixture
def run(peer, folder):
    env = {"HEROSERVE_TARGET": peer.target, "HEROSERVE_API_KEY": None}
    return lambda *args: CliRunner(env=env).invoke(app, ["batch", "q.jsonl", "-o", "a.jsonl", *args])


@pytest.fixture
def start(peer, folder):
    def popen(*args, through=()):
        return subprocess.Popen(
            [*through, sys.executable, "-m", "heroserve", "batch", "q.jsonl", "-o", "a.jsonl", *args],
            env={**os.environ, "PYTHONPATH": SDK, "HEROSERVE_TARGET": peer.target},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return popen


def write(count: int) -> None:
    questions = [{"image": "bus.png", "question": f"{number}?"} for number in range(count)]
    Path("q.jsonl").write_text("".join(json.dumps(each) + "\n" for each in questions))


def answered() -> Counter[str]:
    return Counter(json.loads(line)["question"] for line in Path("a.jsonl").read_text().splitlines())


def texts(peer) -> Counter[str]:
    return Counter(request.messages[-1].parts[-1].text for request in asked(peer))


def test_cut_off_at_any_byte(run, peer):
    write(3)
    assert run("--concurrency", "1").exit_code == 0
    whole = Path("a.jsonl").read_bytes()
    ends = [0, *(at + 1 for at, byte in enumerate(whole) if byte == 10)]
    # Those beside an end of a line, and some between.
    beside = {max(0, end + by) for end in ends[:3] for by in range(-3, 14)}
    for length in sorted(beside | set(range(0, ends[2], 17))):
        Path("a.jsonl").write_bytes(whole[:length])
        with AnswerFile("a.jsonl", {}) as file:
            # A record without its line's end is one.
            here = sum(length >= end - 1 for end in ends[1:])
            assert file.answers == here, length
            assert Path("a.jsonl").read_bytes() == whole[: ends[here]]
    Path("a.jsonl").write_bytes(whole[: ends[1] + 20])
    peer.seen.clear()
    assert run().exit_code == 0
    assert texts(peer) == {"1?": 1, "2?": 1}
    assert answered() == {"0?": 1, "1?": 1, "2?": 1}


def test_what_a_lost_machine_leaves(run, peer):
    write(2)
    assert run("--concurrency", "1").exit_code == 0
    whole = Path("a.jsonl").read_bytes()
    first = whole[: whole.index(b"\n") + 1]
    Path("a.jsonl").write_bytes(first + b"\0" * 700)
    assert run().exit_code == 0
    assert answered() == {"0?": 1, "1?": 1}
    # But not in the middle: who knows what that is?
    Path("a.jsonl").write_bytes(b'{"line": 1, "ke\n' + first)
    assert run().exit_code == 2
    assert Path("a.jsonl").read_bytes() == b'{"line": 1, "ke\n' + first


def test_questions_may_be_added_moved_and_written_twice(run, peer):
    def lines(*texts: str) -> None:
        Path("q.jsonl").write_text("".join(json.dumps({"image": "bus.png", "question": t}) + "\n" for t in texts))

    lines("a?", "b?", "b?")
    assert run().exit_code == 0
    assert texts(peer) == answered() == {"a?": 1, "b?": 2}
    lines("c?", "b?", "a?", "b?", "b?")
    assert run().exit_code == 0
    assert texts(peer) == answered() == {"a?": 1, "b?": 3, "c?": 1}
    lines("a?")
    done = run()
    assert "of the answers in that file 4 are to other questions; they stay" in done.stderr
    assert sum(answered().values()) == 5


def test_what_failed_is_asked_again_and_its_record_goes(run, peer, folder):
    Path("q.jsonl").write_text('{"image": "bus.png", "question": "1?"}\n{"image": "late.png", "question": "2?"}\n')
    assert run().exit_code == 3
    mode = stat.S_IMODE(os.stat("a.jsonl").st_mode)
    os.chmod("a.jsonl", 0o640)
    os.rename("a.jsonl", "there.jsonl")
    os.symlink("there.jsonl", "a.jsonl")
    (folder / "late.png").write_bytes(b"\x89PNG late")
    assert run().exit_code == 0
    assert answered() == {"1?": 1, "2?": 1}
    assert texts(peer) == {"1?": 1, "2?": 1}
    assert os.path.islink("a.jsonl")
    assert (mode, stat.S_IMODE(os.stat("there.jsonl").st_mode)) == (0o644, 0o640)
    assert sorted(path.name for path in folder.iterdir() if "mending" in path.name) == []


def test_other_options_go_to_another_file(run, peer):
    write(2)
    assert run("--retention", "0.2").exit_code == 0
    before = Path("a.jsonl").read_bytes()
    done = run("--retention", "0.1")
    assert done.exit_code == 2
    assert "has answers with retention 0.2, and these would be with retention 0.1; name another file" in done.stderr
    assert "these would be with no options" in run().stderr
    assert Path("a.jsonl").read_bytes() == before


def test_one_writer_at_a_time(run, peer):
    write(2)
    with AnswerFile("a.jsonl", {}):
        done = run()
        assert done.exit_code == 2
        assert "is being written by another batch" in done.stderr
    assert run().exit_code == 0
    # Nor where the first has put a mended file in its place.
    with open("a.jsonl", "ab") as file:
        file.write(b'{"line": ')
    with AnswerFile("a.jsonl", {}), pytest.raises(ArgumentError, match="being written"):
        AnswerFile("a.jsonl", {})


def wait_for(what) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def holding(peer, answers: int, held: int = 4) -> threading.Event:
    """That many questions are answered; the next `held` when the event is set."""
    go_on = threading.Event()

    def hold(request, context):
        context.add_callback(go_on.set)
        go_on.wait(30)
        yield chat_pb2.GenerateResponse(delta="late")
        yield LAST

    peer.script.append(lambda request, context: chat_pb2.ChatDescription(trained=True))
    peer.script.extend([lambda request, context: None] * answers)
    peer.script.extend([hold] * held)
    return go_on


def test_killed(start, run, peer):
    write(40)
    go_on = holding(peer, 17)
    process = start("--concurrency", "4")
    # What is in flight has no answer; all others stand in the file.
    wait_for(lambda: sum(texts(peer).values()) == 21 and sum(answered_so_far().values()) == 17)
    process.kill()
    process.communicate()
    go_on.set()
    peer.seen.clear()
    peer.script.clear()
    assert run().exit_code == 0
    assert sum(texts(peer).values()) == 23
    assert answered() == {f"{number}?": 1 for number in range(40)}


def answered_so_far() -> Counter[str]:
    return answered() if os.path.exists("a.jsonl") else Counter()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_finishes_what_is_in_flight(start, peer, number, status):
    write(40)
    go_on = holding(peer, 5)
    process = start("--concurrency", "4", through=HEARING)
    wait_for(lambda: sum(texts(peer).values()) == 9)
    process.send_signal(number)
    assert process.stderr.readline() == "finishing what is in flight; once more stops at once\n"
    go_on.set()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (status, "")
    assert err.startswith("9 answers in a.jsonl · ")
    assert sum(answered().values()) == sum(texts(peer).values()) == 9


def test_stopped_twice_it_does_not_wait(start, peer):
    write(40)
    holding(peer, 5)
    process = start("--concurrency", "4", through=HEARING)
    wait_for(lambda: sum(texts(peer).values()) == 9)
    process.send_signal(signal.SIGINT)
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert "5 answers in a.jsonl" in err
    assert sum(answered().values()) == 5


def test_a_full_disk_keeps_whole_records(start, run, peer):
    write(20)
    process = start("--concurrency", "1", through=["prlimit", "--fsize=3000"])
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert "a.jsonl: File too large" in err.splitlines()[-1]
    kept = answered()
    assert 0 < sum(kept.values()) < 20
    assert run().exit_code == 0
    assert answered() == {f"{number}?": 1 for number in range(20)}
