"""Write the dashboards' JSON, or check that it is fresh.

python -m deploy.grafana [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from deploy.grafana import capacity, encoder, llm, savings

FOLDER = Path(__file__).parent / "dashboards"


def generate() -> dict[str, str]:
    """JSON by file name."""
    boards = (savings.DASHBOARD, encoder.DASHBOARD, llm.DASHBOARD, capacity.DASHBOARD)
    return {f"{board.uid}.json": json.dumps(board.json(), indent=2) + "\n" for board in boards}


def stale() -> list[str]:
    """Names of files that differ from what would be written, or would not be."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    fresh = generate()
    return sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a dashboard is stale")
    if parser.parse_args().check:
        names = stale()
        if names:
            sys.exit(f"stale dashboards, run 'make dashboards': {', '.join(names)}")
        return
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, text in generate().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
