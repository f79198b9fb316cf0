"""All that is generated, written or checked to be fresh.

python -m scripts.generate [--check] [NAME ...]

A generator is a module with ``files() -> dict[str, bytes]``: the path of each file it makes, from the project's root
and with slashes, and what belongs in it. It writes nothing itself. Where a file is generated in part, as between two
markers, it gives the whole file, with the rest as it finds it. To add one, add a line to ``GENERATORS``.

What a run of the models brings out (``models/heroserve-tiny``, ``docs/accuracy.*``) is no generated file but a result.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Generator:
    """One line of the list.

    Args:
        name: for the command line.
        module: that has ``files``; loaded when its turn comes, for it may import what one before it makes.
        own: globs of paths at which nothing stands but what it makes.
    """

    name: str
    module: str
    own: tuple[str, ...] = ()

    def files(self) -> dict[str, bytes]:
        made: dict[str, bytes] = import_module(self.module).files()
        return made

    def left_over(self, root: Path, made: dict[str, bytes]) -> list[str]:
        """What an earlier run made and none makes any more."""
        standing = {
            path.relative_to(root).as_posix() for glob in self.own for path in root.glob(glob) if path.is_file()
        }
        return sorted(standing - made.keys())


GENERATORS = (
    Generator("protos", "scripts.protos", own=("sdk/heroserve/v1/*_pb2*",)),
    Generator("dashboards", "deploy.grafana.boards", own=("deploy/grafana/dashboards/*",)),
    Generator("monitoring", "scripts.monitoring"),
    Generator("settings", "scripts.settings"),
    Generator("reference", "scripts.reference", own=("docs/reference/[!i]*.md",)),
)


def complaints(generator: Generator, root: Path) -> list[str]:
    """A line for each file below ``root`` that is not as the generator makes it."""
    made = generator.files()
    mend = f"run `python -m scripts.generate {generator.name}`"
    stale = [path for path, content in made.items() if not _holds(root / path, content)]
    return [
        *(f"{path} is stale: {mend}" for path in sorted(stale)),
        *(f"{path} is left over, nothing makes it any more: {mend}" for path in generator.left_over(root, made)),
    ]


def write(generator: Generator, root: Path) -> None:
    """Make the files below ``root``; what is fresh stays untouched, what is left over goes."""
    made = generator.files()
    for path in generator.left_over(root, made):
        (root / path).unlink()
    for path, content in made.items():
        if not _holds(root / path, content):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale or left over")
    names = ", ".join(generator.name for generator in GENERATORS)
    parser.add_argument("names", metavar="NAME", nargs="*", type=_named, default=GENERATORS, help=f"of {names}; or all")
    options = parser.parse_args(arguments)
    if options.check:
        found = [line for generator in options.names for line in complaints(generator, ROOT)]
        if found:
            sys.exit("\n".join(found))
        return
    for generator in options.names:
        write(generator, ROOT)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _named(name: str) -> Generator:
    for generator in GENERATORS:
        if generator.name == name:
            return generator
    raise argparse.ArgumentTypeError(f"nothing is called {name}")


if __name__ == "__main__":
    main()
