"""The dashboards as pictures: record a load, and draw what every panel says of it.

    python -m benchmarks.boards record    about ten minutes: real services, faults, a real Prometheus
    python -m benchmarks.boards draw      from what was recorded last

Run in an environment with vLLM (make vllm), the first has the language model in it; else Engine has nothing to show.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from benchmarks.boards.recording import Recording
from benchmarks.ending import end_in_peace
from deploy.grafana.boards import BOARDS
from scripts.programs import MissingProgram

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "operations"
PACKED = FOLDER / "recording.tar.xz"
_EVERY_S = 10


def make() -> None:
    # Not where it is drawn: it brings both services' code.
    from benchmarks.boards.record import record

    record(PACKED, _EVERY_S, vllm=importlib.util.find_spec("vllm") is not None)


def draw() -> None:
    # Not where it is recorded: vLLM's environment has no matplotlib.
    from benchmarks.boards.page import page
    from benchmarks.boards.picture import save

    recording = Recording.read(PACKED)
    with recording.asked(PACKED) as api:
        for board in BOARDS:
            path = FOLDER / f"{board.uid.removeprefix('heroserve-')}.png"
            save(page(board.json(), recording, api), board.json(), path)
            print(f"{path.relative_to(FOLDER.parent.parent)}: {path.stat().st_size >> 10} KiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["record", "draw"])
    options = parser.parse_args()
    end_in_peace()
    try:
        {"record": make, "draw": draw}[options.command]()
    except MissingProgram as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
