"""Count what requests cost, and fail where a count has grown.

    python -m benchmarks.counts [--accept]

Passes of the tower and their tiles, messages and bytes between the services, round trips and bytes between the encoder
and Redis, operators of torch and copies among them, for each of a few requests. ``expected.json`` beside this has what
they were; ``--accept`` writes it anew, for a change that is worth what it costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from .compare import Costs, grown, shrunk
from .requests import measure

EXPECTED = Path(__file__).parent / "expected.json"
# Their versions, and what torch makes of this processor, decide how many operators a pass is made of.
_LIBRARIES = ("torch", "transformers")


def main() -> None:
    parser = argparse.ArgumentParser(description="Count what requests cost, and fail where a count has grown.")
    parser.add_argument("--accept", action="store_true", help="write down what is counted, as what is expected")
    accept = parser.parse_args().accept
    costs = asyncio.run(measure())
    libraries = {name: version(name).partition("+")[0] for name in _LIBRARIES}
    libraries["processor"] = torch.backends.cpu.get_cpu_capability()
    if accept:
        EXPECTED.write_text(json.dumps({"libraries": libraries, "requests": costs}, indent=2) + "\n")
        return
    expected = json.loads(EXPECTED.read_text())
    sys.exit(told(costs, expected["requests"], same=libraries == expected["libraries"]))


def told(costs: Costs, expected: Costs, *, same: bool) -> int:
    """Print what differs.

    Args:
        costs: counted now.
        expected: counted before.
        same: libraries and processor are the same; else operators can't be compared.

    Returns:
        The command's exit status.
    """
    if not same:
        print("operators are not compared: torch, transformers or the processor is another than in expected.json")
    for line in shrunk(costs, expected, operators=same):
        print(f"less: {line}; --accept writes it down")
    worse = grown(costs, expected, operators=same)
    for line in worse:
        print(f"MORE: {line}")
    if not worse:
        print(f"{len(costs)} requests cost no more than they did")
    return 1 if worse else 0


if __name__ == "__main__":
    main()
