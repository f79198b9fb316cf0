"""Whether a picture can be written to a file: tried, for what a name, a folder or a link forbids shows only then."""

from __future__ import annotations

import os
import stat


def problem_of(file: str) -> str:
    """What keeps it from being written; "" for nothing. What is there stays as it is, and what is not there isn't."""
    try:
        # What a link leads to, which need not be there yet.
        path = os.path.realpath(file)
        try:
            found = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return _kept_by_what_is_there(path)
        os.close(found)
        os.remove(path)
    except (FileNotFoundError, NotADirectoryError):
        return "is in a folder that is not there"
    except (OSError, ValueError) as error:  # the latter of what is no name
        return f"can't be written: {getattr(error, 'strerror', None) or error}"
    return ""


def _kept_by_what_is_there(path: str) -> str:
    kind = os.stat(path).st_mode
    if not stat.S_ISREG(kind):
        return "is a folder" if stat.S_ISDIR(kind) else "is no regular file"
    # As Pillow opens it, but for cutting it to nothing.
    os.close(os.open(path, os.O_RDWR))
    return ""
