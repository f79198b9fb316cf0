"""What numbers were measured on."""

from __future__ import annotations

from typing import Any

import psutil
import torch


def machine(cpus: int) -> dict[str, Any]:
    """Args:
    cpus: that a model replica computes with.
    """
    return {
        "cores": psutil.cpu_count(),
        "products": "AMX" if torch.cpu._is_amx_tile_supported() else torch.backends.cpu.get_cpu_capability(),
        "threads a model": cpus,
        "others' load before": round(psutil.getloadavg()[2], 2),
    }
