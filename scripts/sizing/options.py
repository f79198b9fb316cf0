"""The command's arguments, each within its bounds."""

from __future__ import annotations

import argparse

from services.common.device import DTYPES

_RETENTIONS = "1,0.6,0.4,0.2,0.1,0.05"
_SIDES = 100_000


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m scripts.sizing",
        description="What both services take of one GPU's memory, and what an answer about one picture costs at each "
        "retention: reckoned from config.json and preprocessor_config.json, without weights and without a GPU.",
    )
    add_request(made, _RETENTIONS)
    made.add_argument("--gpu-gib", type=positive, default=24, help="memory of the GPU (%(default)s)")
    made.add_argument("--tiles", type=whole, default=32, help="HEROSERVE_MAX_BATCH_TILES (%(default)s)")
    made.add_argument("--at-once", type=whole, default=4, help="HEROSERVE_ENGINE_THREADS (%(default)s)")
    made.add_argument("--tflops", type=positive, default=400, help="that the GPU reaches in prefill (%(default)s)")
    made.add_argument("--price", type=positive, default=3.0, help="of an hour of it, in dollars (%(default)s)")
    return made


def add_request(made: argparse.ArgumentParser, budgets: str) -> None:
    """Which checkpoint, and what is asked of it. ``budgets`` are its retentions unless it is told others."""
    made.add_argument("model", metavar="MODEL", help="checkpoint, hub id or folder; 'bundled' is the bundled one")
    made.add_argument("--revision", default="", help="branch, tag or commit, where MODEL is a hub id")
    made.add_argument("--dtype", choices=DTYPES, default="float16", help="of both models (%(default)s)")
    made.add_argument("--image", type=size, default="1344x1008", metavar="WxH", help="of a picture (%(default)s)")
    made.add_argument("--retention", type=retentions, default=budgets, metavar="R,R", help="(%(default)s)")
    made.add_argument("--text", type=whole, default=64, help="tokens of the prompt's text (%(default)s)")
    made.add_argument("--answer", type=whole, default=256, help="tokens that are generated (%(default)s)")


def size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= _SIDES and 0 < int(height) <= _SIDES):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, each from 1 to {_SIDES} pixels")
    return int(width), int(height)


def retentions(text: str) -> list[float]:
    try:
        found = [float(each) for each in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < each <= 1 for each in found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected shares above 0 and up to 1, with commas between them")
    return found


def whole(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to 1000000")
    return int(text)


def positive(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0, and below 1e9")
    return found
