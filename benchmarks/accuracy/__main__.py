"""Accuracy against tokens: ``python -m benchmarks.accuracy``, or ``make bench-accuracy``.

Writes the page, the picture and all numbers to ``docs/``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from services.common.settings import BUNDLED_MODEL

from . import plot, report
from .bench import served_config
from .evaluate import Task, default_workers, evaluate
from .methods import methods
from .summary import OVERALL, summarise

RETENTIONS = (1.0, 0.6, 0.4, 0.2, 0.1, 0.05)
ROOT = Path(__file__).resolve().parents[2]


def arguments(description: str, scenes: int, split: str) -> argparse.ArgumentParser:
    """What every command of this package takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default=BUNDLED_MODEL, help="a LLaVA-NeXT folder with its CLIP in clip/")
    parser.add_argument("--scenes", type=int, default=scenes, help="how many; six questions each, at most")
    parser.add_argument("--split", default=split, choices=("validation", "test"))
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes; 0 stays in this one")
    return parser


def shown_name(model: str) -> str:
    """A model's name for readers: its path in the repository, without the machine's."""
    path = Path(model).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def progress(total: int) -> Callable[[int], None]:
    """Tells on stderr how far it is."""
    start = time.monotonic()

    def tell(done: int) -> None:
        seconds = time.monotonic() - start
        left = seconds / done * (total - done)
        print(f"\r{done}/{total} scenes, {seconds:.0f} s, {left:.0f} s left   ", end="", file=sys.stderr, flush=True)
        if done >= total:
            print(file=sys.stderr)

    return tell


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0], 400, "test")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of the page, picture and numbers")
    options = parser.parse_args()
    hero = served_config(options.model)
    lines = methods(hero)
    task = Task(options.model, options.split, tuple(lines), RETENTIONS)
    outcome = evaluate(task, options.scenes, options.workers, progress(options.scenes))
    setup = {"model": shown_name(options.model), "split": options.split, "hero": dataclasses.asdict(hero)}
    summary = summarise(outcome, lines, RETENTIONS, setup)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "accuracy.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    plot.draw(summary, options.out / "accuracy.png")
    text = report.render(summary, "accuracy.png")
    report.write(options.out / "accuracy.md", text)
    print(text)
    if summary["setup"]["questions"][OVERALL] < 2000:
        print("fewer than 2000 questions: for trying out, not for the record", file=sys.stderr)


if __name__ == "__main__":
    main()
