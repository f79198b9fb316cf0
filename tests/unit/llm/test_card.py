"""What a checkpoint can be asked is what its card says; a card of any other kind is no reason not to start."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from models.world.questions import KINDS
from services.common.checkpoint import Checkpoint
from services.llm.card import examples

TINY = "models/heroserve-tiny"


def of(folder: Path | str) -> tuple[str, ...]:
    return examples(Checkpoint(str(folder), "HEROSERVE_MODEL"))


def test_the_bundled_models_card_has_a_question_of_each_kind():
    found = of(TINY)
    begins = ["what character is", "what characters are", "what color is", "what shape is", "is there a", "how many"]
    assert len(begins) == len(KINDS)
    # A third, of pages, is like "is there a"; eight are shown at most.
    begins += ["what is the code", "which line has"]
    assert len(found) == len(begins)
    assert all(any(text.startswith(begin) for text in found) for begin in begins)


@pytest.mark.parametrize(
    ("card", "found"),
    [
        ("---\nwidget:\n- text: What?\n- src: a.png\n  text: Who?\n---\n# A model", ("What?", "Who?")),
        ("---\nwidget:\n" + "- text: What?\n" * 20 + "---\n", ("What?",) * 8),
        ('---\nwidget:\n- text: 5\n- What?\n- text: "a\\nb"\n- text: "\\e[2J"\n- text: ""\n- text: " "\n---\n', ()),
        (f"---\nwidget:\n- text: {'x' * 201}\n---\n", ()),
        ("---\nwidget: 5\n---\n", ()),
        ("---\nlicense: mit\n---\n", ()),
        ("# A model\n", ()),
        ("", ()),
    ],
)
def test_a_card(tmp_path, caplog, card, found):
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert of(tmp_path) == found
    assert caplog.records == []


@pytest.mark.parametrize(
    "card",
    [b"---\n- a\n---\n", b"---\nwidget: [\n---\n", b"---\nx: " + b"[" * 5000 + b"\n---\n", b"---\n\xff: \0\n---\n"],
)
def test_a_card_that_can_not_be_read_is_a_line_in_the_log(tmp_path, caplog, card):
    (tmp_path / "README.md").write_bytes(card)
    assert of(tmp_path) == ()
    (record,) = caplog.records
    assert record.message.startswith(f"HEROSERVE_MODEL='{tmp_path}': its README.md can't be read: ")
    assert len(record.message) < 600
    assert "\n" not in record.message


def test_without_a_card_there_are_none(tmp_path):
    assert of(tmp_path) == ()
    (tmp_path / "README.md").symlink_to("nowhere.md")
    assert of(tmp_path) == ()
