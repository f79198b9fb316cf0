"""The file that a batch's answers go to, a record a line: mended, gone on with, written by one process at a time."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO

from heroserve.batch.lines import LONGEST
from heroserve.batch.locking import lock
from heroserve.batch.records import BEGINNINGS, Record, encoded
from heroserve.errors import ArgumentError

_MODE = 0o666


class AnswerFile:
    """Opens it, makes it whole, and appends to it.

    A last line that was cut off is removed; it was no answer yet. So are records of errors, whose questions are asked
    again. What was answered stays as it is, and `take` tells of which questions it is. All of this is done beside the
    file and then put in its place, so that it is whole at any moment.

    Args:
        path: of a regular file, or of none yet.
        options: of the batch; answers to other ones are refused.
        varying: names of options that may be others.

    Raises ArgumentError for a file that holds something else, or is being written to; OSError for one that can't be.
    """

    def __init__(self, path: str, options: Mapping[str, Any], varying: tuple[str, ...] = ()) -> None:
        # What a link leads to is replaced, and not the link.
        self.path = os.path.realpath(path)
        self._options = dict(options)
        self._varying = varying
        self._there: Counter[tuple[str, str]] = Counter()
        self._files = [os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, _MODE)]
        try:
            lock(self._files[0])
            self._mend()
        except BaseException:
            self.close()
            raise
        self.answers = self._there.total()

    def take(self, key: str, options: Mapping[str, Any]) -> bool:
        """Whether there is an answer to this question; each answer is to one question."""
        name = (key, _canonical(options))
        if not self._there[name]:
            return False
        self._there[name] -= 1
        return True

    def append(self, record: Record) -> None:
        """All of it, or nothing. Raises OSError."""
        file, data = self._files[-1], memoryview(encoded(record))
        before = os.fstat(file).st_size
        try:
            while data:
                data = data[os.write(file, data) :]
        except OSError:
            os.ftruncate(file, before)
            raise

    def records(self) -> Iterator[Record]:
        """Those that are in the file now."""
        with open(self.path, "rb") as file:
            for line in file:
                yield json.loads(line)

    def close(self) -> None:
        """Harmless a second time."""
        while self._files:
            os.close(self._files.pop())

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mend(self) -> None:
        """Counts what is answered; writes the file anew where it holds more than that."""
        whole = True
        with open(self.path, "rb") as file:
            for number, line in enumerate(_lines(file), start=1):
                whole = self._is_answer(line, number) and line.endswith(b"\n") and whole
        if not whole:
            self._rewrite()

    def _rewrite(self) -> None:
        beside = os.path.join(os.path.dirname(self.path), f".{os.path.basename(self.path)}.mending")
        new = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, _MODE)
        try:
            lock(new)
            os.chmod(beside, os.fstat(self._files[0]).st_mode & 0o7777)
            with open(self.path, "rb") as old, open(new, "ab", closefd=False) as file:
                for number, line in enumerate(_lines(old), start=1):
                    if self._is_answer(line, number, count=False):
                        file.write(line if line.endswith(b"\n") else line + b"\n")
                file.flush()
                os.fsync(new)
            os.replace(beside, self.path)
        except BaseException:
            os.close(new)
            raise
        # The first stays locked, for who has opened it before.
        self._files.append(new)

    def _is_answer(self, line: bytes, number: int, count: bool = True) -> bool:
        """Raises ArgumentError for what no batch has written."""
        if not line.strip():
            return False
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            if line.endswith(b"\n") or not _is_cut_off(line):
                raise ArgumentError(f"has a line {number} that is no answer of a batch; name another file") from None
            return False
        told = record.get("heroserve", record) if isinstance(record, dict) else None
        key, options = (told.get("key"), told.get("options")) if isinstance(told, dict) else (None, None)
        if not isinstance(key, str) or not isinstance(options, dict):
            raise ArgumentError(f"has a line {number} that is no answer of a batch; name another file")
        if record.get("error") is not None:
            return False
        if self._fixed(options) != self._fixed(self._options):
            raise ArgumentError(
                f"has answers with {_told(self._fixed(options))}, and these would be with "
                f"{_told(self._fixed(self._options))}; name another file"
            )
        if count:
            self._there[key, _canonical(options)] += 1
        return True

    def _fixed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name not in self._varying}


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Of bounded length: what is longer is cut, and then no record."""
    while line := file.readline(LONGEST):
        yield line


def _is_cut_off(line: bytes) -> bool:
    """A record's beginning, or what a machine that lost its power leaves of one."""
    if not line.strip(b"\0"):
        return True
    return any(line.startswith(begin.encode()[: len(line)]) for begin in BEGINNINGS)


def _canonical(options: Mapping[str, Any]) -> str:
    return json.dumps(dict(options), sort_keys=True)


def _told(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(options.items())) or "no options"
