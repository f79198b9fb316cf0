"""Choose HERO's defaults on the validation split: ``python -m benchmarks.accuracy.choose``.

One factor at a time from a base config, then a small grid of alpha and both temperatures. The test split is not seen.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from services.encoder.hero import HeroConfig

from . import report
from .__main__ import ROOT, arguments, own_name, progress, shown_name
from .bench import has_newlines, served_config, tower_layers
from .evaluate import Task, evaluate
from .methods import Hero, Method
from .summary import OVERALL, Values, summarise

RETENTIONS = (0.2, 0.1, 0.05)
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
SALIENCY_TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
RELEVANCE_TEMPERATURES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
DENSITY_WEIGHTS = (0.0, 0.2, 0.4, 0.7, 1.0)
GRID = ((0.25, 0.5, 0.75), (0.05, 0.1, 0.3), (0.01, 0.03, 0.1))


@dataclass(frozen=True)
class Trial:
    """A change of the base, and the factor it belongs to."""

    factor: str
    method: Method


def trials(base: HeroConfig, layers: int, *, newlines: bool = True) -> list[Trial]:
    """The base first."""
    default = Method("base", "base", Hero(base))
    every_row = replace(default, name="newlines", label="every_row", newlines="every_row")
    return [
        Trial("base", default),
        *(_trial("low layers", base, _layers(low), low_layers=low) for low in _runs(layers, 4)),
        *(_trial("high layers", base, _layers(high), high_layers=high) for high in _runs(layers, 2)),
        *(_trial("alpha", base, f"{alpha:g}", alpha=alpha) for alpha in ALPHAS),
        *(_trial("T_cls", base, f"{t:g}", saliency_temperature=t) for t in SALIENCY_TEMPERATURES),
        *(_trial("T_clip", base, f"{t:g}", relevance_temperature=t) for t in RELEVANCE_TEMPERATURES),
        *(_trial("density weight", base, f"{w:g}", density_weight=w) for w in DENSITY_WEIGHTS),
        *([Trial("newlines", every_row)] if newlines else []),
        Trial("positions", replace(default, name="positions", label="original", original_positions=True)),
        *(
            _trial(
                "alpha, T_cls, T_clip",
                base,
                f"{alpha:g}, {cls:g}, {clip:g}",
                alpha=alpha,
                saliency_temperature=cls,
                relevance_temperature=clip,
            )
            for alpha, cls, clip in product(*GRID)
        ),
    ]


def _trial(factor: str, base: HeroConfig, label: str, **change: Any) -> Trial:
    return Trial(factor, Method(f"{factor} {label}", label, Hero(replace(base, **change))))


def _runs(layers: int, longest: int) -> Iterator[tuple[int, ...]]:
    """Neighbouring layers, up to this many."""
    for length in range(1, longest + 1):
        for start in range(layers - length + 1):
            yield tuple(range(start, start + length))


def _layers(layers: tuple[int, ...]) -> str:
    return str(layers[0]) if len(layers) == 1 else f"{layers[0]}..{layers[-1]}"


def render(summary: Values, factors: list[str]) -> str:
    """A table a factor: accuracy by retention, its mean, and the change from the base with its interval."""
    retentions = summary["setup"]["retentions"]
    header = ["", *map(report.percent, retentions), "mean", *(f"change at {report.percent(r)}" for r in retentions)]
    rows: dict[str, list[list[str]]] = {}
    for factor, line in zip(factors, summary["methods"], strict=True):
        found = line["groups"][OVERALL]
        accuracy = found["accuracy"]
        # A lead is the base's; a change is the other's.
        change = [
            report.signed(-lead, -high, -low)
            for lead, low, high in zip(found["lead"], found["lead_low"], found["lead_high"], strict=True)
        ]
        mean = f"{sum(accuracy) / len(accuracy) * 100:.2f}"
        rows.setdefault(factor, []).append([line["label"], *(f"{100 * a:.1f}" for a in accuracy), mean, *change])
    return "\n\n".join(f"## {factor}\n\n{report.table(header, each)}" for factor, each in rows.items())


def _base(options: argparse.Namespace) -> HeroConfig:
    given = {
        "low_layers": options.low_layers,
        "high_layers": options.high_layers,
        "alpha": options.alpha,
        "saliency_temperature": options.saliency_temperature,
        "relevance_temperature": options.relevance_temperature,
        "density_weight": options.density_weight,
    }
    return replace(served_config(options.model), **{k: v for k, v in given.items() if v is not None})


def _indices(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0], 200, "validation")
    parser.add_argument("--low-layers", type=_indices, help="of the base, such as 1,2; default: what is served")
    parser.add_argument("--high-layers", type=_indices)
    for name in ("alpha", "saliency-temperature", "relevance-temperature", "density-weight"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--json", type=Path, help="where all numbers go (docs/accuracy[-MODEL]-validation.json)")
    options = parser.parse_args()
    if options.json is None:
        options.json = ROOT / "docs" / f"{'-'.join(['accuracy', *own_name(options.model), 'validation'])}.json"
    base = _base(options)
    tried = trials(base, tower_layers(options.model), newlines=has_newlines(options.model))
    methods = tuple(trial.method for trial in tried)
    task = Task(options.model, options.split, methods, RETENTIONS)
    outcome = evaluate(task, options.scenes, options.workers, progress(options.scenes))
    setup = {"model": shown_name(options.model), "split": options.split, "hero": dataclasses.asdict(base)}
    summary = summarise(outcome, methods, RETENTIONS, setup)
    factors = [trial.factor for trial in tried]
    for factor, trial, line in zip(factors, tried, summary["methods"], strict=True):
        line["factor"] = factor
        rule = trial.method.select
        line["config"] = dataclasses.asdict(rule.config) if isinstance(rule, Hero) else {}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"base: {base}\n\n{render(summary, factors)}")


if __name__ == "__main__":
    main()
