"""The command's arguments, each within its bounds and with where its default is from."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from scripts.capacity import measured
from scripts.sizing.options import add_request, positive, whole

_RETENTIONS = "1,0.4,0.2,0.1"
_DAY_S = 86_400


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m scripts.capacity",
        description="What traffic needs: replicas of each service, GPUs, Redis, network and money, at each retention. "
        "Reckoned from config.json and preprocessor_config.json, without weights and without a GPU.",
    )
    add_request(made, _RETENTIONS)
    traffic = made.add_argument_group("traffic")
    traffic.add_argument("--images", type=positive, default=1, help="new ones a second (%(default)s)")
    traffic.add_argument("--questions", type=_from_one, default=5, help="about each, the first included (%(default)s)")
    traffic.add_argument(
        "--found", type=_share, default=1.0, help="share of later ones that find it in the cache (%(default)s)"
    )
    traffic.add_argument("--kept", type=_kept, default=3600, help="seconds that an entry stays (%(default)s)")
    traffic.add_argument("--file-kib", type=positive, default=500, help="of an image as it is sent (%(default)s)")
    traffic.add_argument(
        "--rows", choices=("native", "bfloat16", "int8"), default="native", help="HEROSERVE_ENCODER_ROWS (%(default)s)"
    )
    gpus = made.add_argument_group("GPUs: what they reach, not what data sheets say. Defaults are an H100's, assumed")
    gpus.add_argument("--gpu-gib", type=positive, default=80, help="memory of one (%(default)s)")
    gpus.add_argument("--tflops", type=positive, default=400, help="in prefill: 40%% of 989 (%(default)s)")
    gpus.add_argument("--tower-tflops", type=positive, default=200, help="in the tower: 20%% (%(default)s)")
    gpus.add_argument("--gb-s", type=positive, default=2000, help="of memory: 60%% of 3350 GB/s (%(default)s)")
    gpus.add_argument("--tensor-parallel", type=whole, default=1, help="GPUs an engine, as if it lost nothing (1)")
    gpus.add_argument("--batch", type=whole, default=256, help="requests an engine takes at once (%(default)s)")
    gpus.add_argument("--tiles", type=whole, default=32, help="HEROSERVE_MAX_BATCH_TILES (%(default)s)")
    gpus.add_argument("--at-once", type=whole, default=4, help="prompts that are read at once (%(default)s)")
    own = made.add_argument_group("measured, in place of what is reckoned by these")
    own.add_argument("--tower-tiles-s", type=positive, help="tiles a second of a tower")
    own.add_argument(
        "--prompt-tokens-s", type=positive, help="of prompts, a second of an engine that does nothing else"
    )
    own.add_argument("--answer-tokens-s", type=positive, help="of all answers together, likewise")
    cores = made.add_argument_group("milliseconds of a core; defaults are measured, on two x86-64 ones")
    for name, default, what in (
        ("ingress", measured.INGRESS_MS, "a request in the encoder's proxy and ingress"),
        ("ingress-mb", measured.INGRESS_MS_MB, "a MB of rows there"),
        ("picture", measured.PICTURE_MS, "a new image there"),
        ("cut", measured.CUT_MS, "each tile of it"),
        ("chat", measured.CHAT_MS, "a request in the LLM service, without its engine"),
        ("redis", measured.REDIS_MS, "a request in Redis"),
        ("redis-mb", measured.REDIS_MS_MB, "a MB there"),
    ):
        cores.add_argument(f"--{name}-ms", type=_not_negative, default=default, help=f"{what} (%(default)s)")
    terms = made.add_argument_group("terms")
    terms.add_argument(
        "--busy", type=_busy, default=0.7, help="share of its time a replica works, at most (%(default)s)"
    )
    terms.add_argument("--redis-gib", type=positive, default=64, help="memory of a Redis (%(default)s)")
    terms.add_argument(
        "--redis-overhead",
        type=_from_one,
        default=measured.REDIS_OVERHEAD,
        help="bytes that it takes for one that it keeps, measured (%(default)s)",
    )
    terms.add_argument("--redis-gbit", type=positive, default=10, help="of its network (%(default)s)")
    terms.add_argument("--price", type=positive, default=3.0, help="of a GPU's hour, in dollars (%(default)s)")
    terms.add_argument("--core-price", type=_not_negative, default=0.05, help="of a core's (%(default)s)")
    terms.add_argument("--redis-price", type=_not_negative, default=0.01, help="of a GiB's of Redis (%(default)s)")
    made.add_argument("--json", type=Path, metavar="FILE", help="to write all numbers to")
    return made


def _bounded(low: float, high: float, *, above: bool = False) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if not ((low < found if above else low <= found) and found <= high):
            bounds = f"above {low:g}, and up to {high:g}" if above else f"from {low:g} to {high:g}"
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number {bounds}")
        return found

    return parse


_share = _bounded(0, 1)
_busy = _bounded(0, 1, above=True)
_from_one = _bounded(1, 1e6)
_kept = _bounded(1, 365 * _DAY_S)
_not_negative = _bounded(0, 1e6)
