"""Mutated pictures of every format through a replica's decoders.

    python -m benchmarks.fuzz.pictures [--pictures N] [--seed N]

Exits 1 if one was neither decoded nor refused as the file's fault, ended its decoder, took longer than 2 s, or if
decoders grew.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.fuzz.files import mutated, seeds
from services.common.checkpoint import Checkpoint
from services.common.errors import InvalidArgument
from services.common.settings import BUNDLED_MODEL
from services.common.stages import Stages
from services.encoder.images.decode import ImageLimits
from services.encoder.images.decoders import Decoders
from services.families.family import CutError
from services.families.registry import vision_half

_LIMITS = ImageLimits(20 << 20, 50_000_000)
_WORKERS = 2
_SLOW_S = 2.0
# By what a decoder may grow over all of them, and what has settled before that is measured.
_GROWTH_MIB, _SETTLED = 64, 500


class Run:
    """One run: what became of the files."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._tiler = vision_half(Checkpoint(BUNDLED_MODEL, "HEROSERVE_MODEL")).tiler
        self.outcomes: Counter[str] = Counter()
        self.bad: list[str] = []
        self.slowest = 0.0

    async def pictures(self, count: int) -> int:
        """Decode so many, and return by how many MiB the largest decoder has grown."""
        decoders = Decoders(_LIMITS, workers=_WORKERS, timeout_s=10, memory_bytes=1 << 30)
        await decoders.start()
        files = seeds(self._random)
        settled = 0
        todo = iter(range(count))

        async def work() -> None:
            nonlocal settled
            for number in todo:
                await self._one(decoders, mutated(files, self._random))
                if number == min(_SETTLED, count // 2):
                    settled = _largest_mib()

        await asyncio.gather(*(work() for _ in range(_WORKERS)))
        grown = _largest_mib() - settled
        decoders.close()
        return grown

    async def _one(self, decoders: Decoders, data: bytes) -> None:
        # Twice, if need be: a machine may be busy with others, a file is slow every time.
        seconds = await self._timed(decoders, data)
        if seconds > _SLOW_S:
            seconds = min(seconds, await self._timed(decoders, data))
        self.slowest = max(self.slowest, seconds)
        if seconds > _SLOW_S:
            self._keep(data, f"{seconds:.1f} s")

    async def _timed(self, decoders: Decoders, data: bytes) -> float:
        started = time.monotonic()
        try:
            await decoders.tiles(data, self._tiler.cutter, self._tiler.grid, Stages())
            outcome = "decoded"
        except InvalidArgument as error:
            outcome = "refused"
            if "crashed" in str(error) or "takes more" in str(error):
                outcome = str(error)
                self._keep(data, outcome)
        except CutError:
            outcome = "too long and thin"
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            outcome = f"{type(error).__name__}: {error}"
            self._keep(data, outcome)
        self.outcomes[outcome] += 1
        return time.monotonic() - started

    def _keep(self, data: bytes, what: str) -> None:
        folder, name = Path("build/fuzz"), hashlib.sha256(data).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        self.bad.append(f"{folder / name}: {what}")


def _largest_mib() -> int:
    """Resident memory of this process's largest decoder."""
    return max((_resident_mib(pid) for pid in _decoders()), default=0)


def _decoders() -> Iterator[int]:
    for file in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, file.read_text().split()):
            if b"decoder_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                yield pid


def _resident_mib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) >> 10
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    warnings.simplefilter("ignore")
    run = Run(options.seed)
    started = time.monotonic()
    grown = asyncio.run(run.pictures(options.pictures))
    for outcome, count in run.outcomes.most_common():
        print(f"{count:8} {outcome}")
    seconds = time.monotonic() - started
    print(f"{options.pictures} pictures in {seconds:.0f} s; slowest {run.slowest:.2f} s; decoders grew by {grown} MiB")
    for line in run.bad[:50]:
        print("FAIL", line)
    sys.exit(bool(run.bad) or grown > _GROWTH_MIB)


if __name__ == "__main__":
    main()
