"""What readers get: the page, the numbers, the picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy import choose, report
from benchmarks.accuracy.baselines import random
from benchmarks.accuracy.evaluate import Outcome
from benchmarks.accuracy.methods import Baseline, Method
from benchmarks.accuracy.summary import ONE_OBJECT, OVERALL, Values, summarise
from services.encoder.hero import HeroConfig

RETENTIONS = (1.0, 0.2)


def summary_of(
    right: np.ndarray, first: np.ndarray | None = None, names: tuple[str, ...] = ("hero", "hired")
) -> Values:
    """Of right answers [Q, M, 2]; two questions a scene, one of each kind."""
    count = len(right)
    kept = np.broadcast_to(np.array([100, 20]), right.shape).copy()
    outcome = Outcome(
        scenes=np.repeat(np.arange(count // 2), 2),
        kinds=np.array(["one", "two"] * (count // 2)),
        ways=np.full(count, "", np.str_),
        right=right,
        kept=kept,
        newlines=np.full(right.shape, 8),
        objects=np.array([1, 2] * (count // 2)),
        first=np.full(count, np.nan) if first is None else first,
        chance=np.full(count, 0.25),
    )
    methods = [Method(name, name.upper(), Baseline(random)) for name in names]
    setup = {"model": "m", "split": "test", "hero": {"alpha": 0.5}}
    return summarise(outcome, methods, RETENTIONS, setup)


def test_leads_and_verdicts() -> None:
    """HERO is right always, the other at 20% only in kind "one"."""
    right = np.ones((80, 2, 2), bool)
    right[1::2, 1, 1] = False
    summary = summary_of(right)
    hero, hired = summary["methods"]
    assert hired["groups"][OVERALL]["lead"] == [0, 0.5]
    assert hired["groups"]["one"]["accuracy"] == [1, 1]
    assert hired["groups"]["two"]["accuracy"] == [1, 0]
    assert hero["groups"]["two"]["accuracy"] == [1, 1]
    page = report.render(summary, "p.png")
    assert "Against HIRED, HERO is ahead at 20%." in page
    assert "**+50.0 [+50.0, +50.0]**" in page
    right[:, :, 1] = ~right[:, :, 1]
    assert "Against HIRED, HERO is behind at 20%." in report.render(summary_of(right), "p.png")
    assert "HERO is not told apart at 20%" in report.render(summary_of(np.ones((80, 2, 2), bool)), "p.png")


def test_relevance_leaves_out_questions_about_nothing() -> None:
    first = np.array([1.0, np.nan] * 30 + [0.0, np.nan] * 10)
    found = summary_of(np.ones((80, 2, 2), bool), first)["relevance"]
    assert found[OVERALL]["questions"] == 40
    assert found[OVERALL]["rate"] == 0.75
    assert found[OVERALL]["chance"] == 0.25
    assert found[OVERALL]["lead_low"] > 0.3
    assert "two" not in found
    both = summary_of(np.ones((80, 2, 2), bool), np.array([1.0, 0.0] * 40))["relevance"]
    assert (both[OVERALL]["rate"], both[ONE_OBJECT]["rate"]) == (0.5, 1.0)


def test_a_page_keeps_what_was_written_around(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    report.write(page, "first")
    page.write_text(page.read_text() + "\nBelow.\n")
    page.write_text("Above.\n" + page.read_text())
    report.write(page, "second")
    once = page.read_text()
    assert once.startswith("Above.\n# Accuracy")
    assert once.endswith("\nBelow.\n")
    assert "second" in once
    assert "first" not in once
    report.write(page, "second")
    assert page.read_text() == once


@pytest.mark.parametrize("marks", [(report.BEGIN,), (report.END,), (report.END, report.BEGIN), (report.BEGIN,) * 2])
def test_what_is_written_by_hand_is_never_taken_for_the_rest(tmp_path: Path, marks: tuple[str, ...]) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(["before", *marks, "behind"]))
    with pytest.raises(ValueError, match=r"expected one line"):
        report.write(page, "text")
    assert page.read_text().startswith("before")
    assert page.read_text().endswith("behind")


def test_the_whole_command(
    untrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", untrained, "--scenes", "1", "--workers", "0", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["accuracy", *arguments])
    monkeypatch.setattr(command, "RETENTIONS", (1.0, 0.1))
    command.main()
    told = capsys.readouterr()
    assert "thumbnail only" in told.out
    assert "fewer than 2000" in told.err
    summary = json.loads((tmp_path / "accuracy.json").read_text())
    assert summary["setup"]["questions"][OVERALL] > 3
    assert untrained not in json.dumps(summary)
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "## By kind of question" in (tmp_path / "accuracy.md").read_text()


def test_choosing(
    untrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole command, on a few of its trials."""
    numbers = tmp_path / "numbers.json"
    arguments = ["--model", untrained, "--scenes", "1", "--workers", "0", "--alpha", "0.3", "--json", str(numbers)]
    monkeypatch.setattr(sys, "argv", ["choose", *arguments])
    every = choose.trials
    monkeypatch.setattr(
        choose,
        "trials",
        lambda base, layers, newlines: [*every(base, layers)[:2], *every(base, layers, newlines=newlines)[-30:-26]],
    )
    choose.main()
    told = capsys.readouterr().out
    assert "alpha=0.3" in told
    assert told.index("## base") < told.index("## low layers") < told.index("## newlines") < told.index("## positions")
    summary = json.loads(numbers.read_text())
    assert summary["setup"]["split"] == "validation"
    assert [line["factor"] for line in summary["methods"]][:2] == ["base", "low layers"]
    assert summary["methods"][0]["config"]["alpha"] == 0.3


def test_trials_change_one_thing_of_the_base() -> None:
    base = HeroConfig(low_layers=(1,), high_layers=(4,))
    found = choose.trials(base, 6)
    assert found[0].method.name == "base"
    names = [trial.method.name for trial in found]
    assert len(set(names)) == len(names)
    factors = {
        "low layers": "low_layers",
        "high layers": "high_layers",
        "alpha": "alpha",
        "T_cls": "saliency_temperature",
    }
    for trial in found:
        config = vars(trial.method.select.config)
        changed = {name for name, value in config.items() if value != vars(base)[name]}
        if trial.factor in factors:
            assert changed <= {factors[trial.factor]}
            assert max(trial.method.select.config.layers) < 6
    assert {trial.factor for trial in found} >= {*factors, "newlines", "positions", "alpha, T_cls, T_clip"}
