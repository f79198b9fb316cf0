"""`python -m scripts.capacity` reckons with what the services store and send, and finds again what was measured."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig

from benchmarks.growth.fit import SERVING, answer_s, core_s, fitted, sizes_at
from benchmarks.growth.kinds import ANSWERS, TALKED_ABOUT
from benchmarks.growth.tables import gathered
from scripts.capacity.__main__ import main
from scripts.capacity.costs import Costs, Sizes, Work, work
from scripts.capacity.fleet import GIB, Terms, fleet, flows
from scripts.capacity.options import parser
from scripts.capacity.plan import Plan, plans
from scripts.capacity.traffic import Traffic
from scripts.sizing.asked import Asked
from scripts.sizing.curve import point
from scripts.sizing.model import Model
from services.common.checkpoint import Checkpoint
from services.encoder.cache.entry import build_entry, dump
from services.families.registry import vision_half
from services.llm.cost import PromptCost
from tests.support.encoder_parts import random_image
from tests.support.manifests import ROOT
from tests.support.shown import check_shown, how_to_commands

SHAPE = str(ROOT / "models" / "shapes" / "llava-v1.6-mistral-7b")
# What is foretold of one measured table by another is right to within it.
FACTOR = 1.3


@cache
def shape() -> Model:
    return Model.of(Checkpoint(SHAPE, "MODEL"), torch.float16)


def planned(*arguments: str) -> dict[str, Plan]:
    options = parser().parse_args([SHAPE, *arguments])
    picture = shape().picture(*options.image)
    points = [point(shape(), picture, each, options.text, options.answer) for each in options.retention]
    return {plan.name: plan for plan in plans(Asked(shape(), picture, points), options)}


def test_operations_of_a_tile_are_those_that_torch_counts():
    tower = CLIPVisionConfig(**json.loads(Path(SHAPE, "config.json").read_text())["vision_config"])
    counted = 0
    for config, side in ((tower, 336), (CLIPVisionConfig(), 224)):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            CLIPVisionModel(config).eval()(torch.empty(1, 3, side, side))
        counted += counter.get_total_flops()
    assert shape().tile_flops == pytest.approx(counted, rel=0.01)


def test_bytes_of_an_entry_are_those_that_are_written():
    plan = planned("--retention", "0.2", "--image", "700x500")["0.2"]
    grid = vision_half(Checkpoint(SHAPE, "MODEL")).tiler.grid(700, 500)
    entry, rows = build_entry(grid, random_image(grid, width=1024, dtype="float16", dim=512), 1.0)
    assert plan.sizes.image_bytes == rows.nbytes
    assert plan.sizes.entry_bytes == pytest.approx(rows.nbytes + len(dump(entry)), rel=1e-3)
    assert plan.sizes.read_bytes == pytest.approx(plan.point.kept * 2048 + len(dump(entry)), rel=1e-2)


@pytest.mark.parametrize(("found", "encodes"), [(1.0, 3), (0.0, 12), (0.5, 7.5)])
def test_an_image_is_encoded_once_and_for_whoever_does_not_find_it(found: float, encodes: float):
    traffic = Traffic(images=3, questions=4, found=found, kept_s=100)
    assert (traffic.requests, traffic.encodes, traffic.kept) == (12, encodes, 300)


def test_work_is_a_sum_of_what_is_done():
    costs = Costs(2, 3, 0.5, 5, 7, 11, 13, 17, 19, 0.25)
    sizes = Sizes(tiles=5, image_bytes=1000, sent_bytes=100, entry_bytes=1200, read_bytes=300)
    done = work(costs, sizes, 0.1)
    assert done == Work(
        tower=pytest.approx(1), ingress=pytest.approx(3 + 50 + 0.1 * 40), chat=11, engine=30, redis=pytest.approx(124)
    )
    assert done.total == pytest.approx(1 + 57 + 11 + 30 + 124)


TERMS = Terms(0.5, 2, redis_bytes=1e6, redis_bits=1e9, redis_overhead=1.5, gpu=3, core=0.5, redis_gib=GIB / 1e6)


def test_a_fleet():
    traffic, sizes = Traffic(100, 10, 1, 60), Sizes(5, 1000, 100, 1200, 300)
    moved = flows(traffic, sizes, file_bytes=5000, tile_bytes=30)
    assert moved.files == pytest.approx(100 * 5000 * 8e-9)
    assert moved.rows == pytest.approx(1000 * 100 * 8e-9)
    assert moved.redis == pytest.approx((1000 * 300 + 100 * 1200) * 8e-9)
    assert moved.tower == pytest.approx(100 * (150 + 1000) * 8e-9)
    done = Work(tower=0.0011, ingress=0.002, chat=0.006, engine=0.005, redis=0.0001)
    found = fleet(traffic, done, sizes, moved, TERMS)
    assert (found.towers, found.ingresses, found.engines, found.chats) == (3, 4, 10, 12)
    assert found.gpus == 3 + 10 * 2
    assert found.redis_bytes == pytest.approx(100 * 60 * 1200 * 1.5)
    assert found.redis_nodes == 11
    assert found.cores == 4 + 12 + 11
    assert found.bill == pytest.approx({"engines": 60, "towers": 9, "cores": 13.5, "Redis": 10.8})
    assert found.a_thousand(traffic) == pytest.approx(93.3 / 3600)


@pytest.mark.parametrize(
    ("changed", "nodes"),
    [({"redis_bytes": 1e9}, 1), ({"redis_bytes": 1e9, "redis_bits": 1e6}, 4), ({"busy": 0.005}, 20)],
    ids=["nothing", "its network", "its thread"],
)
def test_redis_is_as_many_as_what_runs_out_first_asks_for(changed: dict[str, Any], nodes: int):
    traffic, sizes = Traffic(100, 10, 1, 60), Sizes(5, 1000, 100, 1200, 300)
    moved = flows(traffic, sizes, 5000, 30)
    done = Work(0.001, 0.001, 0.001, 0.001, redis=0.0001)
    assert fleet(traffic, done, sizes, moved, replace(TERMS, **changed)).redis_nodes == nodes


def test_nothing_is_kept_in_the_first_row():
    first, whole, less = planned("--retention", "1,0.2", "--questions", "8", "--images", "50").values()
    assert first.fleet.redis_nodes == first.fleet.redis_bytes == first.fleet.flows.redis == 0
    assert first.work.tower == pytest.approx(8 * whole.work.tower)
    assert first.work.engine == whole.work.engine > 2 * less.work.engine
    assert first.fleet.dollars > whole.fleet.dollars > less.fleet.dollars


def test_an_engine_takes_at_once_what_its_memory_holds():
    roomy, small = (planned("--retention", "1", "--gpu-gib", gib)["1"] for gib in ("80", "20"))
    free = 20 * GIB - 2 * 7_242_000_000
    assert small.batch < free / small.point.kv_bytes < roomy.batch
    # Each weight is read once a step, and the fewer share that, the more it is.
    assert small.costs.answer_s > roomy.costs.answer_s
    one = planned("--retention", "1", "--batch", "1")["1"]
    assert one.costs.answer_s == pytest.approx(256 * (2 * 7.242e9 + 2532 * 131072) / 2e12, rel=0.01)
    # 2 P operations a token, where memory is no limit.
    quick = planned("--retention", "0.1", "--gb-s", "1000000", "--tflops", "100")["0.1"]
    assert quick.costs.answer_s == pytest.approx(256 * 2 * 7.242e9 / 100e12, rel=0.01)


def test_what_is_measured_goes_first():
    given = ("--tower-tiles-s", "250", "--prompt-tokens-s", "10000", "--answer-tokens-s", "2000")
    costs = planned("--retention", "0.2", *given)["0.2"].costs
    assert (costs.tile_s, costs.prompt_s, costs.answer_s) == pytest.approx((1 / 250, 560 / 10000, 256 / 2000))


def test_ten_thousand_requests_a_second(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    main([SHAPE, "--images", "1000", "--questions", "10", "--json", str(tmp_path / "all.json")])
    told = capsys.readouterr().out
    values = json.loads((tmp_path / "all.json").read_text())
    rows = [line.strip("|").split("|") for line in told.splitlines() if line.startswith("| 0.2 ")]
    (found,) = (plan for plan in values["plans"] if plan["name"] == "0.2")
    assert found["requests"] == 10_000
    assert [int(cell) for cell in rows[0][1:4]] == [found["fleet"][name] for name in ("towers", "engines", "gpus")]
    # Ten times the traffic is ten times of everything, but for what is rounded up.
    tenth = planned("--images", "100", "--questions", "10")["0.2"].fleet
    assert found["fleet"]["engines"] == pytest.approx(10 * tenth.engines, abs=10)
    assert values["options"]["images"] == 1000


def test_our_pages_show_what_it_says(capsys: pytest.CaptureFixture[str]):
    found = how_to_commands("scripts.capacity")
    assert len(found) >= 2
    check_shown(main, found, capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([SHAPE, "--gpu-gib", "14"], r"capacity: --gpu-gib 14: 14 GiB, and a language model takes 1\d\.\d\d with one "),
        (
            [SHAPE, "--gpu-gib", "7", "--tensor-parallel", "2"],
            r"capacity: --gpu-gib 7: 2 x 7 GiB, and a language model",
        ),
        (
            [SHAPE, "--tiles", "5000"],
            r"capacity: --gpu-gib 80: 80 GiB, of which a tower takes \d+\.\d\d; lower --tiles",
        ),
        ([SHAPE, "--text", "40000"], r"capacity: --text, --answer: \d+ tokens with the picture's, of which .* 32768; "),
        (
            [SHAPE, "--image", "1x500"],
            r"capacity: --image: it is 1x500 pixels, an aspect ratio of 500:1; the limit is ",
        ),
        (["models"], r"capacity: MODEL='models': no checkpoint found"),
        (
            [SHAPE, "--json", "/nowhere/all.json"],
            r"capacity: --json: /nowhere/all\.json can't be written: No such file",
        ),
    ],
)
def test_what_can_not_be_is_a_line(arguments: list[str], said: str):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert re.match(said, str(ended.value.code)), ended.value.code
    assert "\n" not in str(ended.value.code)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--images", "0"), ("--images", "many"), ("--questions", "0.5"), ("--questions", "nan"), ("--found", "1.01"),
     ("--found", "-0.1"), ("--kept", "0"), ("--kept", "inf"), ("--busy", "0"), ("--busy", "1.1"), ("--gb-s", "-1"),
     ("--batch", "0"), ("--batch", "1.5"), ("--ingress-ms", "-1"), ("--core-price", "x"), ("--redis-overhead", "0.9"),
     ("--tower-tiles-s", "0"), ("--tensor-parallel", "0"), ("--retention", "2")],
)  # fmt: skip
def test_what_is_out_of_range_is_told_with_its_bounds(option: str, value: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([SHAPE, f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: {value!r}: expected " in capsys.readouterr().err


MEASURED: dict[str, Any] = json.loads((ROOT / "docs" / "growth.json").read_text())


def test_defaults_are_what_was_measured():
    costs = fitted(MEASURED["tiles, base"])
    defaults = parser().parse_args([SHAPE])
    found = [defaults.ingress_ms, defaults.picture_ms, defaults.cut_ms]
    assert found == pytest.approx([1e3 * each for each in (costs.ingress_s, costs.picture_s, costs.cut_s)], rel=0.05)
    found = [defaults.ingress_mb_ms, defaults.redis_mb_ms]
    assert found == pytest.approx([1e9 * each for each in (costs.ingress_byte_s, costs.redis_byte_s)], rel=0.05)
    # Of hits whose rows are at hand, and of large entries.
    assert defaults.redis_ms > 1e3 * costs.redis_s
    assert defaults.redis_overhead > MEASURED["tiles, base"]["redis_overhead"]


def test_what_questions_about_an_image_take_is_foretold():
    """By what a new image takes and a known one, and one answer about a known one: docs/performance.md's growth."""
    tiles, answers = MEASURED["tiles, base"], MEASURED["questions, base"]
    costs, sizes = fitted(tiles), sizes_at(tiles, TALKED_ABOUT)
    answer = answer_s(answers, tiles)
    seen = {point[0].x: core_s(point, *SERVING) for (kind, _), point in gathered(answers).items() if kind == ANSWERS}
    assert list(seen) == [1, 2, 5, 10, 20]
    for questions, measured in seen.items():
        foretold = answer + work(costs, sizes, encodes=1 / questions).total
        assert foretold == pytest.approx(measured, rel=0.15), questions


def test_operations_of_a_prompt_foretell_what_others_take():
    """By the time that the longest one took to its first token, in a table of docs/performance.md."""
    text = (ROOT / "docs" / "performance.md").read_text()
    rows = re.findall(r"^\| 0\.\d \| `\w+` \| (\d+) \|[^|]*\|[^|]*\| (\d+) \(", text, re.MULTILINE)
    measured = {int(tokens): int(ms) for tokens, ms in rows}
    assert len(measured) == 6
    shape = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
    cost = PromptCost.of(LlamaConfig(**shape, num_attention_heads=9, num_key_value_heads=3), torch.bfloat16)
    reached = cost.flops(max(measured)) / measured[max(measured)]
    for tokens, ms in measured.items():
        assert ms / FACTOR < cost.flops(tokens) / reached < ms * FACTOR, tokens
