"""What is compared: nothing that the model can't read with all tokens, and the page says so."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy import report
from benchmarks.accuracy.dataset import picture
from benchmarks.accuracy.evaluate import Outcome
from benchmarks.accuracy.fitting import Fitting, fitting, told
from benchmarks.accuracy.summary import OVERALL

# (way, kind): of ten questions, how many are right.
RIGHT = {
    ("face", "color"): 9,
    ("face", "pair"): 5,
    ("turned", "color"): 8,
    ("turned", "pair"): 6,
    ("all", "color"): 6,
    ("all", "pair"): 5,
    ("page", "code"): 0,
}


def outcome() -> Outcome:
    rows = [(way, kind, at < right) for (way, kind), right in RIGHT.items() for at in range(10)]
    count = len(rows)
    counts = np.full((count, 1, 1), 9)
    return Outcome(
        scenes=np.arange(count),
        kinds=np.array([kind for _, kind, _ in rows]),
        ways=np.array([way for way, _, _ in rows]),
        right=np.array([right for _, _, right in rows]).reshape(count, 1, 1),
        kept=counts,
        newlines=counts,
        objects=np.ones(count, np.int64),
        first=np.full(count, np.nan),
        chance=np.full(count, np.nan),
    )


def test_ways_go_first_and_kinds_are_judged_on_what_is_left() -> None:
    """``all`` has 55%: without it ``pair`` still has but 55%."""
    assert fitting(outcome()) == Fitting(("face", "turned"), ("color",))
    every = outcome()
    every.right[every.kinds == "pair"] = True
    assert fitting(every) == Fitting(("face", "turned", "all"), ("color", "pair"))


def test_nothing_left_is_said() -> None:
    none = outcome()
    none.right[:] = False
    with pytest.raises(ValueError, match="nothing to compare"):
        fitting(none)


def test_a_picture_keeps_the_questions_that_are_compared() -> None:
    chosen = pickle.loads(pickle.dumps(Fitting(("face",), ("color", "count"))))
    face, other = picture("test", 0, "second"), picture("test", 1, "second")
    assert {question.kind for question in chosen(face).questions} <= {"color", "count"}
    assert len(chosen(face).questions) == len(chosen(face).tiles_asked) > 0
    assert not chosen(other).questions


def test_the_page_tells_every_way_and_what_is_left_out() -> None:
    found = told(outcome(), fitting(outcome()))
    assert found["all_tokens"]["face"]["pair"] == {"questions": 10, "accuracy": 0.5}
    page = "\n".join(report._fitting({"fitting": found}))
    assert "| all | 60.0 | 50.0 |  | 55.0 | 20 |" in page
    assert "being below 60%: pictures `all`, pictures `page`, questions `pair`." in page


def test_the_whole_command_on_another_world(
    untrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that reads nothing has nothing to be compared on; with no bar, the page and numbers are of that world."""
    arguments = ["--model", untrained, "--scenes", "6", "--workers", "0", "--out", str(tmp_path), "--world", "second"]
    monkeypatch.setattr(sys, "argv", ["accuracy", *arguments])
    monkeypatch.setattr(command, "RETENTIONS", (1.0, 0.1))
    every = command.methods
    monkeypatch.setattr(command, "methods", lambda config, newlines: every(config, newlines=newlines)[:2])
    monkeypatch.setattr("benchmarks.accuracy.fitting.ENOUGH", 0.01)
    with pytest.raises(SystemExit, match="nothing to compare"):
        command.main()
    monkeypatch.setattr("benchmarks.accuracy.fitting.ENOUGH", 0.0)
    command.main()
    summary = json.loads((tmp_path / "accuracy-second.json").read_text())
    assert summary["setup"]["world"] == "second"
    assert summary["setup"]["questions"][OVERALL] == sum(summary["setup"]["ways"].values())
    assert set(summary["setup"]["ways"]) == {"face", "photograph", "turned", "jpeg", "all", "page"}
    page = (tmp_path / "accuracy-second.md").read_text()
    assert "pictures of the second world" in page
    assert "### turned" in page
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["accuracy", *arguments, "--split", "validation"])
    with pytest.raises(SystemExit):
        command.main()
    assert "--split: the second world is for tests alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--scenes", "0"), "--scenes 0: expected a number of them"),
        (("--out", __file__), "no folder, and none can be made"),
        (("--model", "/no-such-folder"), "--model: '/no-such-folder': no checkpoint found"),
    ],
)
def test_what_can_not_be_used_is_told_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["accuracy", *arguments])
    with pytest.raises(SystemExit):
        command.main()
    assert told in capsys.readouterr().err.splitlines()[-1]
