"""The whole answer, side by side: plain ``generate``, a stock vLLM that is sent pictures, and ours on three engines.

The stock one twice: as it is, and with room for what its tower made of all known pictures, as of one by default.

    .venv-vllm/bin/python -m benchmarks.answers [--shape 135m|1b|tiny] [--sides plain,stock] [--kv-mib N]

Each with CLIP-L/14-336's shape as its tower, a language model of 135 million or a billion parameters, and random
weights; over OpenAI's API, streamed, pictures of 2 x 2 tiles. Of each side: new pictures one after the other, then new
questions about these, by one caller and by all at once. One side is up at a time. What each found is written to a file
when it has it, and a side that stands there is not asked again: a run that was ended goes on, and ``--sides`` makes
pieces of it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.answers.measure import Asking, measure
from benchmarks.answers.record import Record
from benchmarks.answers.report import Row, aims, table
from benchmarks.answers.servers import OURS, SIDES
from benchmarks.ending import end_in_peace
from benchmarks.serving import Serving
from models.untrained_shapes import SHAPES


def numbers(text: str) -> list[float]:
    return sorted(float(each) for each in text.split(","))


def sides(text: str) -> list[str]:
    names = text.split(",")
    if unknown := sorted(set(names) - set(SIDES)):
        raise argparse.ArgumentTypeError(f"no such side: {', '.join(unknown)}; there are {', '.join(SIDES)}")
    return names


def asking_of(name: str, options: argparse.Namespace) -> Asking:
    tile = SHAPES[options.shape].tower.image_size
    # Two columns and two rows of tiles.
    size = (2 * tile, 2 * tile)
    asking = Asking(options.pictures, options.callers, options.rounds, options.seconds, options.answer, size)
    # One request at a time: more callers only wait longer.
    return replace(asking, callers=min(2, asking.callers)) if name == "plain" else asking


def run(options: argparse.Namespace) -> list[Row]:
    """What was found of the shape with that much KV cache, now or before."""
    serving = Serving.of_shape(
        options.shape,
        options.folder,
        dtype=options.dtype,
        threads=options.threads,
        block=32,
        kv_bytes=options.kv_mib << 20,
        context=4096,
    )
    asked = {name: getattr(options, name) for name in ("shape", "dtype", "threads", "pictures", "answer", "callers")}
    record = Record(options.json or options.folder / "answers.json", {**asked, "kv_bytes": serving.kv_bytes})
    for name in options.sides:
        if record.has(name) and not options.anew:
            continue
        began = time.monotonic()
        with SIDES[name](serving) as url:
            up = time.monotonic() - began
            retentions: list[float | None] = [*options.retentions] if name in OURS else [None]
            found = asyncio.run(measure(name, url, retentions, asking_of(name, options)))
        told = [{**each.row, "start_s": up, "kv_request_bytes": _kv(options, each.prompt)} for each in found]
        record.put(name, told)
        print(f"{name}: {time.monotonic() - began:.0f} s, {up:.0f} of them to start", file=sys.stderr, flush=True)
    return record.rows(list(SIDES))


def _kv(options: argparse.Namespace, prompt: float) -> float:
    """Bytes of keys and values of a request at its end."""
    tokens: float = prompt + options.answer
    return tokens * SHAPES[options.shape].kv_bytes


def main() -> None:
    parser: Any = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="135m")
    parser.add_argument("--sides", type=sides, default=",".join(SIDES), help="in this order")
    parser.add_argument("--retentions", type=numbers, default="0.1,0.2,0.4,1")
    parser.add_argument("--pictures", type=int, default=4, help="at each retention")
    parser.add_argument("--callers", type=int, default=8, help="at once, about known pictures")
    parser.add_argument("--rounds", type=int, default=3, help="of all callers, at most")
    parser.add_argument("--seconds", type=float, default=20.0, help="after which no other round begins")
    parser.add_argument("--answer", type=int, default=16, help="tokens")
    parser.add_argument("--kv-mib", type=int, default=1024, help="KV cache of each vLLM, in MiB")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=2, help="of each model")
    parser.add_argument("--folder", type=Path, default=Path("build/answers"), help="of checkpoints; they are kept")
    parser.add_argument("--json", type=Path, help="of all numbers; answers.json in the folder")
    parser.add_argument("--anew", action="store_true", help="ask sides again that stand in it")
    options = parser.parse_args()
    end_in_peace()
    rows = run(options)
    print(table(rows))
    print("\n".join(["", *(f"- {line}" for line in aims(rows))]))


if __name__ == "__main__":
    main()
