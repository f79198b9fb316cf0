"""Accuracy against tokens on lmms-eval's tasks: ``python -m benchmarks.lmms_eval --url http://... --tasks ...``.

Writes the page, the picture and all numbers; goes on where it stopped. docs/method.md says how.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence

from . import options as chosen
from . import plot, report
from .asking import UnansweredError, ask
from .relay import read
from .results import Reading, UnusableError
from .runs import Runner, Setup
from .summary import curves, summarise

_VERSION = "import importlib.metadata as m; print(m.version('lmms-eval'))"
_INTRO = "# Accuracy against tokens, by lmms-eval\n"


def main(arguments: Sequence[str] | None = None) -> None:
    options = chosen.read(sys.argv[1:] if arguments is None else arguments)
    key = os.environ.get("OPENAI_API_KEY", "")
    try:
        setup = Setup(_model(options.url, key), _version(options.python), options.limit, tuple(options.more))
        runner = Runner(
            options.python, options.url, key, setup, options.concurrency, options.timeout, options.out / "runs"
        )
        readings: dict[str, list[Reading]] = {}
        for task in options.tasks:
            readings[task] = []
            for retention in options.retentions:
                reading, known = runner.run(task, retention)
                readings[task].append(reading)
                first = next(iter(reading.metrics))
                print(
                    f"{task} at {retention:g}: {first} {reading.metrics[first].value:.4f}, {reading.kept:.1f} of "
                    f"{reading.total:.1f} visual tokens{' (measured before)' if known else ''}",
                    file=sys.stderr,
                )
        found = curves(readings, dict(options.metric))
    except UnusableError as error:
        sys.exit(f"benchmarks.lmms_eval: {error}")
    told = {"model": setup.model, "lmms_eval": setup.lmms_eval, "limit": setup.limit, "arguments": options.more}
    summary = summarise(found, options.retentions, told | {"yardstick": options.yardstick})
    numbers, picture, words = (options.out / f"lmms-eval.{kind}" for kind in ("json", "png", "md"))
    numbers.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    plot.draw(summary, picture)
    text = report.render(summary, picture.name)
    words.write_text(f"{_INTRO}\n{text}\n", encoding="utf-8")
    print(text)


def _version(python: str) -> str:
    """Of lmms-eval there."""
    try:
        done = subprocess.run([python, "-c", _VERSION], capture_output=True, text=True, timeout=60)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnusableError(f"--python {python}: can't be run: {error}") from error
    if done.returncode:
        raise UnusableError(f"--python {python}: has no lmms-eval; install it there, or name another one's python")
    return done.stdout.strip()


def _model(url: str, key: str) -> str:
    """What the service calls its model."""
    try:
        status, data, _ = ask(f"{url}/v1/models", headers={"authorization": f"Bearer {key or 'none'}"})
    except UnansweredError as error:
        raise UnusableError(f"--url: {error}") from error
    match read(data):
        case {"data": [{"id": str(name)}, *_]}:
            return name
        case {"error": {"message": str(message)}}:
            raise UnusableError(f"--url {url}: status {status}: {message} (OPENAI_API_KEY is the key sent)")
    raise UnusableError(f"--url {url}: status {status}, and no list of models: is this an LLM service's port?")


if __name__ == "__main__":
    main()
