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

from services.common.settings import BUNDLED_MODEL, SettingError

from . import plot, report
from .bench import has_newlines, served_config
from .evaluate import Task, default_workers, evaluate
from .fitting import fitting, told
from .methods import methods
from .summary import OVERALL, Values, summarise
from .worlds import WORLDS

TOWER = "float32"
RETENTIONS = (1.0, 0.6, 0.4, 0.2, 0.1, 0.05)
ROOT = Path(__file__).resolve().parents[2]


def arguments(description: str, scenes: int, split: str) -> argparse.ArgumentParser:
    """What every command of this package takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default=BUNDLED_MODEL, help="a checkpoint's folder, with a CLIP in clip/")
    parser.add_argument("--scenes", type=int, default=scenes, help="how many; six questions each, at most")
    parser.add_argument("--split", default=split, choices=("validation", "test"))
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes; 0 stays in this one")
    return parser


def shown_name(model: str) -> str:
    """A model's name for readers: its path in the repository, without the machine's."""
    path = Path(model).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def own_name(model: str) -> list[str]:
    """What files about a model other than the bundled one have in their names."""
    path = Path(model).resolve()
    return [] if path == Path(BUNDLED_MODEL).resolve() else [path.name]


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
    parser.add_argument("--world", default=WORLDS[0], choices=WORLDS, help="whose pictures; second: of no training")
    parser.add_argument("--tower", default=TOWER, choices=(TOWER, "bfloat16"), help="dtype that the tower computes in")
    options = parser.parse_args()
    if options.world == "second" and options.split != "test":
        parser.error("--split: the second world is for tests alone and has no other split than test")
    if options.scenes < 1:
        parser.error(f"--scenes {options.scenes}: expected a number of them, 1 or more")
    # Not after a quarter of an hour.
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {options.out}: no folder, and none can be made ({error.strerror})")
    try:
        hero = served_config(options.model)
    except SettingError as error:
        parser.error(f"--model: {str(error).removeprefix('HEROSERVE_MODEL=')}")
    lines = methods(hero, newlines=has_newlines(options.model))
    task = Task(options.model, options.split, tuple(lines), RETENTIONS, options.world, tower=options.tower)
    setup: Values = {"model": shown_name(options.model), "split": options.split, "hero": dataclasses.asdict(hero)}
    if options.world != WORLDS[0]:
        # A model may fail where it was not trained: what it can't read with all tokens is no ground to compare on.
        whole = dataclasses.replace(task, methods=task.methods[:1], retentions=(1.0,))
        alone = evaluate(whole, options.scenes, options.workers, progress(options.scenes))
        try:
            chosen = fitting(alone)
        except ValueError as error:
            raise SystemExit(f"{shown_name(options.model)}: {error}") from error
        task = dataclasses.replace(task, chosen=chosen)
        setup |= {"world": options.world, "fitting": told(alone, chosen)}
    outcome = evaluate(task, options.scenes, options.workers, progress(options.scenes))
    summary = summarise(outcome, lines, RETENTIONS, setup)
    # Beside the bundled model's page another one's has its name.
    own = own_name(options.model) if options.out.resolve() == ROOT / "docs" else []
    others = [name for name in (options.world, options.tower) if name not in (WORLDS[0], TOWER)]
    stem = "-".join(["accuracy", *own, *others])
    (options.out / f"{stem}.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    plot.draw(summary, options.out / f"{stem}.png")
    text = report.render(summary, f"{stem}.png")
    report.write(options.out / f"{stem}.md", text)
    print(text)
    if summary["setup"]["questions"][OVERALL] < 2000:
        print("fewer than 2000 questions: for trying out, not for the record", file=sys.stderr)


if __name__ == "__main__":
    main()
