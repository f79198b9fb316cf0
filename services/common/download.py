"""A file of a hub's, into the cache: for as long as it takes, if it goes on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError  # type: ignore[attr-defined]
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

from services.common.patience import patiently

# Longest without a piece of this size; what comes more slowly would not be here within a day.
_STALL_S = 60.0
_PIECE_BYTES = 1 << 16
# The library tells of each of its tries; what came of them is told by who asked.
_QUIET = ("huggingface_hub.utils._http", "huggingface_hub.file_download")


def download(name: str, filename: str, commit: str, blobs: Path, *, cached_only: bool) -> Path:
    """Its path in the cache.

    Args:
        name: of the model on the hub.
        filename: in it.
        commit: of it.
        blobs: where the cache has the model's files; another process may be about to fetch the same one.
        cached_only: the hub is not asked.

    Raises:
        ValueError, OSError, HTTPError: it can't be had, or nothing more of it comes.
    """
    pieces = 0

    class Watched(tqdm):
        def update(self, n: float | None = 1) -> Any:
            nonlocal pieces
            pieces += bool(n)
            return super().update(n)

    def fetch() -> Path:
        return Path(hf_hub_download(name, filename, revision=commit, local_files_only=cached_only, tqdm_class=Watched))

    for logger in _QUIET:
        logging.getLogger(logger).setLevel(logging.ERROR)
    # Ten megabytes otherwise, before anybody sees the first of them.
    constants.DOWNLOAD_CHUNK_SIZE = _PIECE_BYTES
    try:
        return patiently(fetch, _STALL_S, lambda: (pieces, _incomplete(blobs)))
    except LocalEntryNotFoundError as error:
        # It says the same of all faults; what it was made of says which.
        if isinstance(error.__cause__, (HTTPError, OSError, ValueError)):
            raise error.__cause__ from error
        raise


def _incomplete(blobs: Path) -> list[Any]:
    """Of what is being fetched, by whichever process: names, sizes and times."""
    found: list[Any] = []
    try:
        for path in sorted(blobs.glob("*.incomplete")):
            stat = path.stat()
            found.append((path.name, stat.st_size, stat.st_mtime_ns))
    except OSError:
        # Gone between two looks: there is progress, and the next look tells more.
        found.append(None)
    return found
