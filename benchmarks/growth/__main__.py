"""What a request costs as things grow, in core-time by part, in latency and in requests a second.

    python -m benchmarks.growth [--pieces tiles,flight,questions,replicas] [--tower base] [--rounds 1] [--json FILE]

Each piece starts a Ray with the encoder, an echo behind the same proxy and a Redis, and takes some minutes; callers are
in this process and share the machine's cores. Weights are random: time does not depend on what they say. With --json a
piece's numbers replace those that the file has of it, so that pieces may be measured one by one; --picture draws all
that the file has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from benchmarks.ending import end_in_peace
from benchmarks.growth.callers import Callers
from benchmarks.growth.fit import fitted
from benchmarks.growth.fit import options as options_of
from benchmarks.growth.point import Point
from benchmarks.growth.service import LANGUAGES, Service, served
from benchmarks.growth.sweeps import PIECES, Piece
from benchmarks.growth.tables import told
from benchmarks.growth.towers import TOWERS
from benchmarks.machine import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=_pieces, default=",".join(PIECES), help="(%(default)s); none of them: ''")
    parser.add_argument("--tower", choices=TOWERS, default="base", help="its shape (%(default)s)")
    parser.add_argument("--language", choices=LANGUAGES, default="tiny", help="model's shape (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="of each piece (%(default)s)")
    parser.add_argument("--json", type=Path, help="all numbers, those of other pieces kept")
    parser.add_argument("--picture", type=Path, help="of what --json has, PNG or SVG")
    options = parser.parse_args()
    end_in_peace()
    found: dict[str, Any] = json.loads(options.json.read_text()) if options.json and options.json.is_file() else {}
    for name in options.pieces:
        piece = PIECES[name]
        with served(options.tower, piece.cpus, options.language) as service:
            measured = asyncio.run(_measure(service, piece, options.rounds))
        found[f"{name}, {options.tower}"] = {"grows": piece.grows, "machine": machine(piece.cpus), **measured}
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    for name, values in found.items():
        print("\n".join(told(name, values)), flush=True)
        if name.startswith("tiles, "):
            print(f"- for scripts.capacity: {options_of(fitted(values))} --redis-overhead {values['redis_overhead']}")
    if options.picture:
        from benchmarks.growth.plot import draw  # matplotlib takes a while

        draw(found, options.picture)


async def _measure(service: Service, piece: Piece, rounds: int) -> dict[str, Any]:
    callers, gauge = Callers(service.port, service.tile), service.gauge
    found: list[list[Point]] = []
    try:
        for _ in range(rounds):
            # The first pass of a tower takes what it does once.
            await callers.reply(callers.picture(1))
            found.append([])
            async for point in piece.run(service, callers, gauge):
                print(f"{piece.grows}: {point.x}, {point.kind}: {point.rate:.1f}/s", flush=True)
                found[-1].append(point)
        return {
            "rounds": [[point.values() for point in each] for each in found],
            "redis_overhead": round(gauge.kept_bytes / max(1, gauge.entries_bytes), 3),
        }
    finally:
        await callers.close()


def _pieces(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := set(names) - set(PIECES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: expected of {', '.join(PIECES)}")
    return names


if __name__ == "__main__":
    main()
