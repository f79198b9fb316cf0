"""Which checkpoint it is, so that two services can tell whether they have halves of the same one.

Of a model of the hub it is the commit, since either service fetches its own half only. Of a folder it is a digest that
copies of it share, whatever they are called and whenever they were made: what config.json says, names, dtypes and
shapes of all tensors, and samples of each one's values. Fine-tunes of one model differ in nothing but values, and
gigabytes of those are too many to be read at each start.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, BinaryIO

from services.common.checkpoint import Checkpoint
from services.common.hub import cached_commit
from services.common.shown import first_line, shown_name
from services.common.small_files import is_pointer
from services.common.weights.index import open_weights, weight_files

# A tensor of up to _SAMPLES * _SAMPLE_BYTES is read whole, of a larger one that many samples.
_SAMPLES = 16
_SAMPLE_BYTES = 4096
_HEADER_LIMIT = 100 << 20
_INCOMPLETE = "incomplete"

logger = logging.getLogger(__name__)


def identify(source: Checkpoint) -> str:
    """``commit:COMMIT``, or ``digest:OUTER-INNER`` where INNER is of the values; hexadecimal.

    Raises:
        SettingError: its files can't be read, or are others than when they were first identified.
    """
    found = _identity(source)
    if source.known_as not in ("", found):
        raise source.unusable(
            f"its files are others than when the service was started ({source.known_as}, now {found}); start it again"
        )
    if found.endswith(_INCOMPLETE) and not source.known_as:
        logger.warning(
            "%s=%r: not all files of its weights are there; by what is, models tuned from one can't be told apart",
            *(source.variable, source.name),
        )
    source.known_as = found
    return found


def _identity(source: Checkpoint) -> str:
    commit = source.snapshot.commit or cached_commit(Path(source.name))
    if commit:
        return f"commit:{commit}"
    tensors: dict[str, bytes] = {}
    absent: list[str] = []
    for filename, names in weight_files(source).items():
        path = source.find(filename)
        try:
            if path is None or is_pointer(path):
                # What a service does not need of a folder may well be left out of it.
                absent.append(filename)
                tensors |= dict.fromkeys(names if filename.endswith(".safetensors") else [filename], b"")
            else:
                tensors |= _tensors(path) if path.suffix == ".safetensors" else {filename: _samples_of(path)}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            # In the words of those who read it.
            open_weights(source, filename)
            raise source.unusable(f"{shown_name(filename)} is damaged or incomplete ({first_line(error)})") from error
    # By name, so that it does not matter how they are spread over files.
    outer = _digest([source.written, sorted(tensors)])[:16]
    inner = _digest([(name, tensors[name].hex()) for name in sorted(tensors)])[:24]
    return f"digest:{outer}-{_INCOMPLETE if absent else inner}"


def same(one: str, other: str) -> bool:
    """Whether two identities are those of one checkpoint, as far as they tell."""
    if one == other:
        return True
    # Of a folder without some of its weights config and names have to do.
    outer = [name.removesuffix(f"-{_INCOMPLETE}") for name in (one, other)]
    return [one, other] != outer and outer[0].partition("-")[0] == outer[1].partition("-")[0]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _tensors(path: Path) -> dict[str, bytes]:
    """Name of each tensor of a safetensors file to a digest of its dtype, shape and samples."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _HEADER_LIMIT:
            raise ValueError("its header is too long")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        digests: dict[str, bytes] = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            whole = hashlib.sha256(f"{entry['dtype']} {entry['shape']}\n".encode())
            _sample(file, 8 + length + begin, end - begin, whole)
            digests[name] = whole.digest()
    return digests


def _samples_of(path: Path) -> bytes:
    """Of a file of another kind: its size and samples. One of torch ends with checksums of all it holds."""
    size = path.stat().st_size
    whole = hashlib.sha256(f"{size}\n".encode())
    with path.open("rb") as file:
        _sample(file, 0, size, whole)
        tail = min(size, 1 << 20)
        _sample_at(file, size - tail, tail, whole)
    return whole.digest()


def _sample(file: BinaryIO, begin: int, size: int, whole: hashlib._Hash) -> None:
    """Add evenly spaced samples of ``size`` bytes from ``begin`` on, the first and the last among them."""
    if size <= _SAMPLES * _SAMPLE_BYTES:
        _sample_at(file, begin, size, whole)
        return
    for index in range(_SAMPLES):
        _sample_at(file, begin + index * (size - _SAMPLE_BYTES) // (_SAMPLES - 1), _SAMPLE_BYTES, whole)


def _sample_at(file: BinaryIO, begin: int, size: int, whole: hashlib._Hash) -> None:
    file.seek(begin)
    read = file.read(size)
    if len(read) < size:
        raise ValueError("it ends before its last tensor")
    whole.update(read)
