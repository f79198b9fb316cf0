"""How much memory a service's half takes while it is loaded, beside what is there already.

    python -m tests.support.peak SMALL FOLDER HALF DTYPE

Prints bytes at the peak and afterwards, as JSON. SMALL is a checkpoint that is loaded first, so that no import counts.
One half in one dtype a process: what another had taken would be used again, and not seen.
"""

from __future__ import annotations

import ctypes
import gc
import json
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


def memory(kind: str) -> int:
    found = re.search(rf"{kind}:\s+(\d+) kB", (SELF / "status").read_text())
    assert found
    return int(found[1]) * 1024


def load(half: str, folder: str, dtype: Any) -> Any:
    if half == "tower":
        return open_tower(EncoderSettings(model=folder, relevance_model="none", device="cpu", dtype=dtype))
    settings = LlmSettings(model=folder, device="cpu", dtype=dtype)
    return open_engine(settings, parts.model(settings)), parts.open_splicer(settings)


def main() -> None:
    small, folder, half, dtype = sys.argv[1:]
    load(half, small, "bfloat16")
    gc.collect()
    # What is free goes back to the system, for the same reason.
    ctypes.CDLL(None).malloc_trim(0)
    # The peak starts anew.
    (SELF / "clear_refs").write_text("5")
    before = memory("VmRSS")
    held = load(half, folder, dtype)
    print(json.dumps([memory("VmHWM") - before, memory("VmRSS") - before]))
    del held


if __name__ == "__main__":
    main()
