"""torchvision's own code, without what of it is compiled: for processes that have this folder on PYTHONPATH.

vLLM's LLaVA imports transformers' Pixtral, which imports torchvision. Package indexes have torchvision for Linux built
for CUDA alone, which a torch for CPUs can't load: its Python then fails over operators that nobody has declared. None
of them is used for an image of LLaVA's.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from typing import Any


class Declared(importlib.abc.MetaPathFinder):
    """Declares them at the last moment, where they were not loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name != "torchvision._meta_registrations":
            return
        sys.meta_path.remove(self)
        import torch

        if not importlib.import_module("torchvision.extension")._has_ops():
            for operator in ("nms", "qnms"):
                torch.library.define(
                    f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )


sys.meta_path.insert(0, Declared())
