"""docs/operations: every dashboard's picture is of its panels as they are, and the recording answers what they ask."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

import pytest

from benchmarks.boards.answers import answers, firing
from benchmarks.boards.page import page
from benchmarks.boards.panels import KINDS
from benchmarks.boards.picture import drawn, of_panels, save
from benchmarks.boards.recording import Recording
from benchmarks.boards.units import text
from benchmarks.boards.variables import Window, values
from scripts.prometheus import PROMETHEUS, Api
from tests.support.prometheus import ROOT, program
from tests.support.promql import DASHBOARDS

BOARDS = [json.loads(path.read_text()) for path in DASHBOARDS]
FOLDER = ROOT / "docs" / "operations"
PACKED = FOLDER / "recording.tar.xz"
MEND = "run `make boards`, look at the picture, and commit it"
# A repository keeps every version.
_MOST_BYTES = 300_000
# Series whose names are seen without scrolling.
_ROOM_BELOW = 4
# Told by a GPU's driver, by DCGM, and by a vLLM beside the service.
_ELSEWHERE = ("ray_node_g", "DCGM_")


def _path(board: dict):
    return FOLDER / f"{board['uid'].removeprefix('heroserve-')}.png"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_a_picture_is_of_the_panels_that_there_are(board: dict):
    path = _path(board)
    assert path.is_file(), f"{path.name} is missing: {MEND}"
    now, then = of_panels(board), drawn(path)
    assert {title for title in now.keys() | then.keys() if now.get(title) != then.get(title)} == set(), MEND
    assert path.stat().st_size < _MOST_BYTES


def test_a_panel_that_changes_wants_another_picture():
    board = json.loads(json.dumps(BOARDS[0]))
    panel = board["panels"][0]
    before = of_panels(board)
    panel["description"] = "Told on asking."
    assert of_panels(board) == before
    panel["targets"][0]["expr"] += " * 1"
    assert of_panels(board) != before
    assert len(of_panels({"panels": [*board["panels"], {**panel, "id": 99}]})) == len(before) + 1


def test_every_kind_of_panel_is_drawn_and_every_unit_written():
    panels = [panel for board in BOARDS for panel in board["panels"]]
    assert {panel["type"] for panel in panels} == KINDS.keys()
    assert all(text(1.0, panel["fieldConfig"]["defaults"]["unit"]) for panel in panels)


def test_operations_shows_every_picture_and_no_other():
    shown = set(re.findall(r"\(operations/([\w-]+\.png)\)", (ROOT / "docs" / "operations.md").read_text()))
    assert shown == {_path(board).name for board in BOARDS} == {path.name for path in FOLDER.glob("*.png")}
    assert PACKED.stat().st_size < _MOST_BYTES


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    program(*PROMETHEUS)
    with Recording.read(PACKED).asked(PACKED) as api:
        yield api


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_the_recording_answers_every_panel(board: dict, api: Api):
    """With numbers, wherever there can be some without a GPU: never with NaN alone, and a tile with no NaN at all."""
    recording = Recording.read(PACKED)
    window = Window(recording.start, recording.end, recording.every_s)
    chosen = values(board, window, api)
    for panel in board["panels"]:
        found = answers(panel, chosen, window, api)
        here = not any(part in target["expr"] for target in panel["targets"] for part in _ELSEWHERE)
        assert bool(found) == here, panel["title"]
        assert all(any(not math.isnan(value) for value in each.values) for each in found), panel["title"]
        below = panel["type"] == "timeseries" and panel["options"]["legend"]["placement"] == "bottom"
        assert not below or len(found) <= _ROOM_BELOW, (panel["title"], "most of its legend can't be seen", len(found))
        legends = [each.legend for each in found]
        assert len(legends) == len(set(legends)), (panel["title"], "two series have one name", legends)


def test_a_page_is_drawn_and_told_of(api: Api, tmp_path):
    board = next(board for board in BOARDS if board["uid"] == "heroserve-savings")
    save(page(board, Recording.read(PACKED), api), board, tmp_path / "savings.png")
    assert drawn(tmp_path / "savings.png") == of_panels(board)


def test_an_alert_fired_in_the_recording(api: Api):
    recording = Recording.read(PACKED)
    window = Window(recording.start, recording.end, recording.every_s)
    board = BOARDS[0]
    fired = firing(board, values(board, window, api), window, api)
    assert any(alert.legend.startswith("HeroserveErrorBudgetBurn") for alert in fired)
