"""What the command takes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """They, with ``more``: what stands behind ``--``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lmms_eval",
        description="lmms-eval's tasks at several retentions, over OpenAI's API. What is behind -- goes to lmms-eval.",
    )
    parser.add_argument("--url", required=True, type=_url, help="of the LLM service's HTTP port; /v1 may be left out")
    parser.add_argument("--tasks", required=True, type=_words, help="lmms-eval's, with commas between them")
    parser.add_argument("--retentions", type=_retentions, default="1,0.4,0.2,0.1", help="with commas; 1 among them")
    parser.add_argument(
        "--out", required=True, type=Path, help="folder of the page, the picture, the numbers, the runs"
    )
    parser.add_argument(
        "--python", default=sys.executable, help="of an environment that has lmms-eval; by default this one"
    )
    parser.add_argument("--limit", type=_whole, help="documents of a task; by default all")
    parser.add_argument(
        "--metric", type=_metric, action="append", default=[], help="TASK=METRIC, not the task's first one"
    )
    parser.add_argument("--concurrency", type=_whole, default=8, help="requests under way at once")
    parser.add_argument("--timeout", type=float, default=300.0, help="longest to wait for an answer, in seconds")
    parser.add_argument("--yardstick", action="store_true", help="show what papers report of LLaVA-NeXT-7B beside it")
    ours, mark, more = list(arguments), "--", []
    if mark in ours:
        at = ours.index(mark)
        ours, more = ours[:at], ours[at + 1 :]
    options = parser.parse_args(ours)
    options.more = more
    return options


def _url(value: str) -> str:
    url = value.rstrip("/").removesuffix("/v1")
    if not url.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{value!r}: expected http://HOST:PORT")
    return url


def _words(value: str) -> list[str]:
    found = list(dict.fromkeys(word.strip() for word in value.split(",")))
    if not all(found):
        raise argparse.ArgumentTypeError(f"{value!r}: expected names with commas between them")
    return found


def _retentions(value: str) -> list[float]:
    try:
        found = sorted({float(word) for word in value.split(",")}, reverse=True)
    except ValueError:
        found = []
    if not found or found[0] != 1 or not found[-1] > 0:
        raise argparse.ArgumentTypeError(
            f"{value!r}: expected numbers in (0, 1], 1 among them: the others are shares of it"
        )
    return found


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value)):
        raise argparse.ArgumentTypeError(f"{value!r}: expected a whole number above 0")
    return int(value)


def _metric(value: str) -> tuple[str, str]:
    task, equals, metric = value.partition("=")
    if not (task and equals and metric):
        raise argparse.ArgumentTypeError(f"{value!r}: expected TASK=METRIC")
    return task, metric
