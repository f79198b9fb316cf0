"""Generate the stubs in sdk/heroserve/v1 from protos/, or check that they are fresh.

python -m scripts.protos [--check]
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / "protos"
STUBS = Path("heroserve") / "v1"


def generate(folder: Path) -> None:
    """Write the stubs below ``folder``; proto path, package and import path are the same."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / STUBS).glob("*.proto"))
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
    wellknown = str(files("grpc_tools") / "_proto")
    if protoc.main(["protoc", f"-I{PROTOS}", f"-I{wellknown}", *outputs, *sources]) != 0:
        sys.exit("protoc failed")


def stale(folder: Path) -> list[str]:
    """Names of stubs that differ from those below ``folder``, or are in one of the two only."""
    fresh, committed = folder / STUBS, ROOT / "sdk" / STUBS
    names = {path.name for place in (fresh, committed) for path in place.glob("*_pb2*")}
    _, different, missing = filecmp.cmpfiles(fresh, committed, sorted(names), shallow=False)
    return sorted(different + missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a stub is stale")
    if not parser.parse_args().check:
        generate(ROOT / "sdk")
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        names = stale(Path(folder))
    if names:
        sys.exit(f"stale stubs, run 'make protos': {', '.join(names)}")
    print("stubs are fresh")


if __name__ == "__main__":
    main()
