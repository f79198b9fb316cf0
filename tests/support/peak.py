"""How much memory a service's half takes while it is loaded, beside what is there already.

    python -m tests.support.peak SMALL FOLDER

Prints [half, dtype, bytes at the peak, bytes afterwards] of each half in each dtype, as JSON, a line each. SMALL is a
checkpoint that is loaded first, so that no import counts. One half in one dtype a process, forked when all is imported:
what another had taken would be used again, and not seen.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from services.encoder.parts import open_tower
from services.encoder.settings import EncoderSettings
from services.llm import parts
from services.llm.engines.registry import open_engine
from services.llm.settings import LlmSettings

SELF = Path("/proc/self")
HALVES, DTYPES = ("tower", "language"), ("float32", "bfloat16")


def memory(kind: str) -> int:
    found = re.search(rf"{kind}:\s+(\d+) kB", (SELF / "status").read_text())
    assert found
    return int(found[1]) * 1024


def load(half: str, folder: str, dtype: Any) -> Any:
    if half == "tower":
        return open_tower(EncoderSettings(model=folder, relevance_model="none", device="cpu", dtype=dtype))
    settings = LlmSettings(model=folder, device="cpu", dtype=dtype)
    return open_engine(settings, parts.model(settings)), parts.open_splicer(settings)


def measure(half: str, folder: str, dtype: str) -> None:
    # The peak starts anew.
    (SELF / "clear_refs").write_text("5")
    before = memory("VmRSS")
    held = load(half, folder, dtype)
    print(json.dumps([half, dtype, memory("VmHWM") - before, memory("VmRSS") - before]), flush=True)
    del held


def main() -> None:
    small, folder = sys.argv[1:]
    for half in HALVES:
        load(half, small, "bfloat16")
    gc.collect()
    # What is free goes back to the system, for the same reason.
    ctypes.CDLL(None).malloc_trim(0)
    for half, dtype in itertools.product(HALVES, DTYPES):
        if not (child := os.fork()):
            measure(half, folder, dtype)
            # Nothing here is this process's to tidy up.
            os._exit(0)
        if status := os.waitpid(child, 0)[1]:
            sys.exit(f"{half} in {dtype} ended with {status}")


if __name__ == "__main__":
    main()
