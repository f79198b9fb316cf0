"""What is told of growth: whose the time is, and costs that come out of a sweep as they went in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.census import CALLERS, REST, census
from benchmarks.growth.fit import answer_s, fitted, sizes_at
from benchmarks.growth.kinds import ANSWERS_KNOWN, GRIDS, KNOWN, NEW
from benchmarks.growth.point import Point
from benchmarks.growth.tables import bound, gathered, told
from scripts.capacity.costs import Costs, Sizes, work
from tests.support.docs import ROOT

COSTS = Costs(
    tile_s=0.1, ingress_s=0.006, ingress_byte_s=4e-9, picture_s=0.02, cut_s=0.003, chat_s=0, prompt_s=0, answer_s=0,
    redis_s=0.0002, redis_byte_s=1e-9,
)  # fmt: skip


def point(x: int, kind: str, cores: dict[str, float], moved: float = 1e5, reply: float = 1e5) -> Point:
    redis = {"in": moved / 4, "out": moved * 3 / 4, "commands": 2.0}
    return Point(x, kind, 10, 2.0, (1.0, 2.0, 3.0), cores, reply, redis, 0.0)


def sweep(callers: float) -> dict[str, Any]:
    """Of tiles, by the calculator's own sums; what callers and Ray take beside it is nobody's."""
    points = []
    for number in GRIDS:
        sizes = Sizes(number + 1, 0, 2e5 * number, 1e6 * number, 2.5e5 * number)
        for kind, encodes in ((NEW, 1.0), (KNOWN, 0.0)):
            done = work(COSTS, sizes, encodes)
            moved = sizes.read_bytes + encodes * sizes.entry_bytes
            cores = {
                "tower": 1e3 * done.tower,
                "Redis": 1e3 * done.redis,
                "proxy": 200 * done.ingress,
                "ingress": 700 * done.ingress,
                "decoders": 100 * done.ingress,
                CALLERS: callers,
                REST: 7.0,
            }
            points.append(point(number, kind, cores, moved, sizes.sent_bytes).values())
    return {"grows": "local tiles of an image", "machine": {"cores": 2}, "rounds": [points], "redis_overhead": 1.1}


def test_costs_come_out_as_they_went_in():
    for callers in (0.0, 50.0):
        found = fitted(sweep(callers))
        for name, cost in vars(COSTS).items():
            assert getattr(found, name) == pytest.approx(cost, rel=0.01), name


def test_an_answer_is_what_the_encoder_did_not_take():
    tiles = sweep(1.0)
    encoder = work(COSTS, sizes_at(tiles, 4), 0.0).total
    cores = {"chat": 400.0, "proxy": 1e3 * encoder, CALLERS: 9.0, REST: 5.0}
    answers = {"rounds": [[point(0, ANSWERS_KNOWN, cores).values()]]}
    assert answer_s(answers, tiles) == pytest.approx(0.4, rel=0.01)


def test_rounds_are_told_by_their_median_and_spread():
    values = sweep(1.0)
    slow = [{**each, "seconds": 4.0} for each in values["rounds"][0]]
    lines = list(told("tiles", {**values, "rounds": [values["rounds"][0], slow, slow]}))
    assert any(line.startswith(f"| 12 | {NEW} | 2.5 (2.5 to 5) | 2.0 | 1.0 | 3.0 | ") for line in lines)


def test_what_bounds_it_is_the_part_that_takes_most():
    places = [[point(1, NEW, {"tower": 10.0, "ingress": 90.0})], [point(12, NEW, {"tower": 300.0, "ingress": 100.0})]]
    said = bound(NEW, places, {"grows": "tiles", "machine": {"cores": 2}})
    assert said.endswith("at 12 2.0 of 2 cores are busy, 75% of that tower, 25% ingress")


def test_a_point_survives_its_file():
    one = point(3, KNOWN, {"ingress": 1.25})
    assert Point.of(one.values()) == one
    assert gathered({"rounds": [[one.values()], [one.values()]]}) == {(KNOWN, 3): [one, one]}


def test_this_process_is_the_callers():
    before = census()[CALLERS]
    sum(range(3_000_000))
    assert census()[CALLERS] > before


def test_the_record_is_whole():
    """It is of pieces that there are, and its tables can be told."""
    record = json.loads((ROOT / "docs" / "growth.json").read_text())
    assert {name.partition(",")[0] for name in record} <= {"tiles", "flight", "questions", "replicas"}
    for name, values in record.items():
        assert list(told(name, values))
