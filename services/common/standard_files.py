"""stdin, stdout and stderr of a service, which whoever starts it may have closed."""

from __future__ import annotations

import os
import sys


def settle() -> None:
    """Files 0, 1 and 2 are there: else what is opened next, a connection perhaps, is written to as if it were one."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest that is free is this one.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
