"""How much memory a service's half takes while it is loaded, beside what is there already.

    python -m tests.support.peak SMALL FOLDER

Prints JSON: bytes by half and dtype, at the peak and afterwards. SMALL is a checkpoint that is loaded first, so that no
import counts.
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
    small, folder = sys.argv[1:]
    taken = {}
    for half in ("tower", "language"):
        load(half, small, "bfloat16")
        for dtype in ("float32", "bfloat16"):
            gc.collect()
            # What is free goes back to the system: else it is used again, and not seen.
            ctypes.CDLL(None).malloc_trim(0)
            # The peak starts anew.
            (SELF / "clear_refs").write_text("5")
            before = memory("VmRSS")
            held = load(half, folder, dtype)
            taken[f"{half} {dtype}"] = [memory("VmHWM") - before, memory("VmRSS") - before]
            del held
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
