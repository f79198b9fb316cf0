"""Files of metrics: what dead processes counted is kept, in one file a kind of metric, however many have died.

A process writes to files named after its pid. Whoever starts folds those of the dead into one; until that is done, and
for whoever reads meanwhile, a manifest says which files count, so that no moment shows a count twice or not at all.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from services.common.metric_space import RoomyDict

_MANIFEST = "folded.json"
_LOCK = "folded.lock"
# Not gauges: what a process last said means nothing once it is dead, and a sum of it less.
_OF_A_PROCESS = re.compile(r"(counter|histogram|summary)_(\d+)\.db")
_FOLDED = re.compile(r"(counter|histogram|summary)_folded-(\d+)\.db")
_GAUGE = re.compile(r"gauge_[a-z]+_(\d+)\.db")
_COUNTED = re.compile(rf"{_OF_A_PROCESS.pattern}|{_FOLDED.pattern}|{_GAUGE.pattern}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Manifest:
    """Of which generation the folded files are, and which files are in them already."""

    generation: int = 0
    folded: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> _Manifest:
        try:
            said = json.loads((folder / _MANIFEST).read_text())
        except FileNotFoundError:
            return cls()
        return cls(said["generation"], tuple(said["folded"]))

    def write(self, folder: Path) -> None:
        """All of it or nothing: it is the moment at which folding counts."""
        fresh = folder / f"{_MANIFEST}.new"
        fresh.write_text(json.dumps({"generation": self.generation, "folded": self.folded}))
        fresh.replace(folder / _MANIFEST)

    def counts(self, path: Path) -> bool:
        old = _FOLDED.fullmatch(path.name)
        if old:
            return int(old[2]) == self.generation
        gauge = _GAUGE.fullmatch(path.name)
        if gauge and not _lives(int(gauge[1])):
            return False
        # An empty one is of a process that died, or is, just before its first byte.
        return path.name not in self.folded and path.stat().st_size > 0


class FolderCollector:
    """Everything that processes, dead or alive, counted in a folder; for a registry."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def collect(self) -> Iterable[Metric]:
        with _locked(self._folder, fcntl.LOCK_SH):
            return _merged(_files(self._folder, _Manifest.read(self._folder)), accumulate=True)


def fold(folder: Path) -> None:
    """Put what dead processes counted into one file a kind. Before this process opens any of its own."""
    with _locked(folder, fcntl.LOCK_EX):
        manifest = _tidied(folder, _Manifest.read(folder))
        for path in folder.glob("gauge_*.db"):
            gauge = _GAUGE.fullmatch(path.name)
            # One of this process's pid is of another that had it before: what that one held is not ours to go on from.
            if gauge and (int(gauge[1]) == os.getpid() or not _lives(int(gauge[1]))):
                path.unlink()
        files = _files(folder, manifest)
        dead = [path for path in files if (named := _OF_A_PROCESS.fullmatch(path.name)) and not _lives(int(named[2]))]
        if not dead:
            return
        dead = [path for path in dead if _whole(path)]
        before = [path for path in files if _FOLDED.fullmatch(path.name)]
        generation = manifest.generation + 1
        for metric in _merged(before + dead, accumulate=False):
            _append(metric, folder / f"{metric.type}_folded-{generation}.db")
        manifest = _Manifest(generation, tuple(path.name for path in dead))
        manifest.write(folder)
        _tidied(folder, manifest)


def is_ours(name: str) -> bool:
    """Whether a file of this name is of those that processes, or ``fold``, write here."""
    return name in (_MANIFEST, f"{_MANIFEST}.new", _LOCK) or _COUNTED.fullmatch(name) is not None


def _files(folder: Path, manifest: _Manifest) -> list[Path]:
    return sorted(path for path in folder.glob("*.db") if manifest.counts(path))


def _tidied(folder: Path, manifest: _Manifest) -> _Manifest:
    """Without the files that no longer count. Their names may come again: a pid does."""
    for path in folder.glob("*.db"):
        if path.name in manifest.folded or (_FOLDED.fullmatch(path.name) and not manifest.counts(path)):
            path.unlink()
    if manifest.folded:
        manifest = _Manifest(manifest.generation)
        manifest.write(folder)
    return manifest


def _merged(files: list[Path], *, accumulate: bool) -> Iterable[Metric]:
    merged: Iterable[Metric] = MultiProcessCollector.merge(  # type: ignore[no-untyped-call]
        [str(path) for path in files], accumulate=accumulate
    )
    return merged


def _append(metric: Metric, path: Path) -> None:
    values = RoomyDict(str(path), spill=False)
    for sample in metric.samples:
        names, labels = list(sample.labels), list(sample.labels.values())
        key = mmap_key(metric.name, sample.name, names, labels, metric.documentation)
        values.write_value(key, sample.value, 0.0)  # type: ignore[no-untyped-call]
    values.close()  # type: ignore[no-untyped-call]


def _whole(path: Path) -> bool:
    try:
        for key, *_ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            json.loads(key)
    except (RuntimeError, ValueError, struct.error) as error:
        logger.warning("metrics of a dead process are lost: %s can't be read (%s)", path.name, error)
        path.unlink()
        return False
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # One that nobody has waited for still has its pid, and counts no more.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return not Path("/proc/self/stat").exists()


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    with open(folder / _LOCK, "ab") as file:
        fcntl.flock(file, kind)
        yield
