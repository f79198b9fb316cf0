"""Plans as Markdown, and as JSON's values."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from scripts.capacity.fleet import GIB
from scripts.capacity.plan import Plan

# Of what one costs: its name, the option that says it, and what it is where that is not given.
_COSTS = (
    ("tile_s", "a tile, of a tower", "tower_tiles_s", "operations / --tower-tflops"),
    ("prompt_s", "a prompt, of an engine", "prompt_tokens_s", "operations / --tflops"),
    ("answer_s", "an answer, of an engine", "answer_tokens_s", "what is read / --gb-s, or operations / --tflops"),
    ("ingress_s", "a request, of an ingress's core", "ingress_ms", "--ingress-ms: measured on two x86-64 cores"),
    ("picture_s", "a new image, of the same", "picture_ms", "--picture-ms: the same"),
    ("cut_s", "each tile of it, of the same", "cut_ms", "--cut-ms: the same"),
    ("chat_s", "a request, of an LLM service's core", "chat_ms", "--chat-ms: the same"),
    ("redis_s", "a request, of a Redis's thread", "redis_ms", "--redis-ms: the same"),
)


def markdown(plans: Sequence[Plan], options: argparse.Namespace, defaults: argparse.Namespace) -> Iterator[str]:
    """Lines: what it takes at each retention, what moves, what the money is for, and where the numbers are from."""
    plan, first = plans[-1], plans[0]
    traffic = plan.traffic
    asked = f"{_told(traffic.images)} new images/s x {traffic.questions:g} questions are {_told(traffic.requests)}"
    yield f"{asked} requests/s; no replica works more than {options.busy:.0%} of its time"
    yield ""
    yield from _table(
        (
            "R",
            "towers",
            "engines",
            "GPUs",
            "ingresses",
            "chats",
            "cores",
            "Redis, GiB",
            "Redises",
            "$/h",
            "$ a 1,000",
            "",
        ),
        (
            (
                each.name,
                *(each.fleet.towers, each.fleet.engines, each.fleet.gpus),
                *(each.fleet.ingresses, each.fleet.chats, each.fleet.cores),
                *(_told(each.fleet.redis_bytes / GIB), each.fleet.redis_nodes),
                *(_told(each.fleet.dollars), _told(each.fleet.a_thousand(traffic))),
                f"{each.fleet.dollars / first.fleet.dollars:.0%}",
            )
            for each in plans
        ),
    )
    yield ""
    yield from _table(
        (
            "R",
            "files",
            "rows",
            "Redis",
            "tower: Gbit/s",
            "prompt",
            "KV MiB",
            "at once",
            "ms between tokens",
            "money for",
        ),
        (
            (
                each.name,
                *(_told(flow) for flow in dataclasses.astuple(each.fleet.flows)),
                *(each.point.prompt, _told(each.point.kv_bytes / 2**20), each.batch, _told(1e3 * each.token_s)),
                ", ".join(
                    f"{part} {dollars / each.fleet.dollars:.0%}" for part, dollars in each.fleet.bill.items() if dollars
                ),
            )
            for each in plans
        ),
    )
    yield ""
    yield from _table(
        (f"ms at R = {plan.name}", "", "from"),
        (
            (
                what,
                _told(1e3 * getattr(plan.costs, name)),
                source if getattr(options, option) == getattr(defaults, option) else f"--{option.replace('_', '-')}",
            )
            for name, what, option, source in _COSTS
        ),
    )


def values(plans: Sequence[Plan], options: argparse.Namespace) -> dict[str, Any]:
    """All numbers, in seconds, bytes, 10^9 bits a second and dollars; what was asked is in ``options``."""
    asked = {name: value for name, value in vars(options).items() if name != "json"}
    return {
        "options": asked,
        "plans": [
            {
                **dataclasses.asdict(plan),
                "requests": plan.traffic.requests,
                "encodes": plan.traffic.encodes,
                "dollars": plan.fleet.dollars,
                "dollars_a_thousand": plan.fleet.a_thousand(plan.traffic),
            }
            for plan in plans
        ],
    }


def _table(words: Sequence[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(words)} |"
    yield f"| --- |{' ---: |' * (len(words) - 1)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def _told(number: float) -> str:
    """Three digits, and no powers of ten."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.001 else f"{number:.2g}"
