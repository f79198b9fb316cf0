"""A process that ends with the one that started it, however that ends: the kernel sees to it.

Linux's does. Elsewhere nobody does, and who is killed leaves its children behind.

    python parent.py PARENT COMMAND...     becomes COMMAND, which is killed when the process PARENT is gone
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with(parent: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Have this process sent ``number`` when its parent ends; exec keeps that, fork does not.

    It is the thread that started it whose end counts, so that should be one that lives as long as its process.

    Returns:
        Whether ``parent`` is still there. Where it is not, nobody tells this process any more.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    return os.getppid() == parent


if __name__ == "__main__" and end_with(int(sys.argv[1])):
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is what it is for
