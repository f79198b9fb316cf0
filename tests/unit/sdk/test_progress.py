"""What is told of many questions while they are asked."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from heroserve.cli.progress import Progress, Tally
from heroserve.cli.question_file import QuestionSource
from heroserve.savings import Savings
from tests.support.terminal import terminal

SDK = str(Path("sdk").resolve())


@pytest.mark.parametrize(
    ("total", "tally", "seconds", "words"),
    [
        (26, {}, 5, "0/26"),
        (26, {"answered": 10, "before": 5, "failed": 1}, 5, "16/26 · 2.0/s · 0:05 left · 1 failed"),
        (16, {"answered": 10, "before": 5, "failed": 1}, 5, "16/16 · 2.0/s · 1 failed"),
        (None, {"answered": 10, "before": 5}, 5, "15 · 2.0/s"),
        (7211, {"answered": 10, "before": 1}, 1000, "11/7211 · 0.6/min · 200:00:00 left"),
        (100, {"answered": 10, "savings": Savings(400, 100, 300)}, 5, "10/100 · 2.0/s · 0:45 left · 75.0% of visual"),
    ],
)
def test_how_far_and_how_long(monkeypatch, total, tally, seconds, words):
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + seconds)
    assert Progress(False, total).words(Tally(**tally, began=1000.0)).startswith(words)


def on_a_terminal(folder, peer, **more) -> str:
    environment = {**os.environ, "PYTHONPATH": SDK, "HEROSERVE_TARGET": peer.target, "TERM": "xterm", **more}
    command = [sys.executable, "-m", "heroserve", "batch", "q.jsonl", "-o", "a.jsonl"]
    with terminal(command, environment, folder) as screen:
        assert screen.end() == 3
        return screen.shown


def test_questions_of_a_file_are_counted_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stdin").write_text('{"image": "a.png", "question": "?"}\n' * 2)
    assert QuestionSource("stdin").count == 2


def test_on_a_terminal_a_line_moves(tmp_path, peer):
    lines = [{"image": None, "question": "\x1b[2J?"}, {"image": "no\x1b[2J.png", "question": "?"}]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = on_a_terminal(tmp_path, peer)
    assert "2/2" in text
    assert re.search(r"\x1b\[33mline 2: image: cannot read '?no\\x1b\[2J\.png", text)
    # Its cursor is back before the last line, which stays.
    assert text.rindex("\x1b[?25h") < text.rindex("1 answer in a.jsonl · 1 failed")
    assert "\x1b[2J" not in text
    plain = on_a_terminal(tmp_path, peer, NO_COLOR="1")
    assert "of them from before" in plain
    assert not re.search(r"\x1b\[[0-9;]*m", plain)
