"""What a Prometheus stored of a load, in a file of a hundred kilobytes that is asked as often as pictures are drawn."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.prometheus import Api, over

_ABOUT, _DATA = "about.json", "data"


@dataclass(frozen=True)
class Happened:
    """Args:
    at_s: after the recording's start.
    words: for the picture's reader.
    """

    at_s: float
    words: str


@dataclass(frozen=True)
class Recording:
    """Args:
    start, end: of the load, in seconds since 1970.
    every_s: between scrapes.
    events: that happened meanwhile, in order.
    """

    start: float
    end: float
    every_s: int
    events: tuple[Happened, ...]

    @classmethod
    def read(cls, packed: Path) -> Recording:
        """Raises:
        OSError, KeyError, ValueError: it is no recording.
        """
        with tarfile.open(packed) as archive:
            about = archive.extractfile(_ABOUT)
            if about is None:
                raise ValueError(f"{packed}: {_ABOUT} is no file")
            told = json.load(about)
        return cls(**{**told, "events": tuple(Happened(**event) for event in told["events"])})

    def pack(self, data: Path, packed: Path) -> None:
        """Args:
        data: what Prometheus stored, see ``Prometheus.snapshot``.
        packed: is written.
        """
        packed.parent.mkdir(parents=True, exist_ok=True)
        about = json.dumps(asdict(self)).encode()
        told = tarfile.TarInfo(_ABOUT)
        told.size = len(about)
        with tarfile.open(packed, "w:xz", preset=9) as archive:
            archive.addfile(told, io.BytesIO(about))
            archive.add(data, _DATA)

    @contextmanager
    def asked(self, packed: Path) -> Iterator[Api]:
        """A Prometheus that answers from it, until the block is left.

        Raises:
            MissingProgram: there is none.
        """
        with tempfile.TemporaryDirectory(prefix="heroserve-boards-") as folder:
            with tarfile.open(packed) as archive:
                archive.extractall(folder, filter="data")
            with over(Path(folder) / _DATA, Path(folder)) as api:
                yield api
