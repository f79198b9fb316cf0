"""No garbage is collected while modules are imported: to be imported before those that are large.

They make a million objects and throw few away, and Python goes through all of them again and again meanwhile: a sixth
of the time that torch and transformers take.
"""

from __future__ import annotations

import gc

_WANTED = gc.isenabled()
gc.disable()


def again() -> None:
    """They are imported."""
    if _WANTED:
        gc.enable()
