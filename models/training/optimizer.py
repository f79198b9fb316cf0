"""Muon for the matrices of transformer blocks, AdamW for the rest; one schedule over both."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch


class Optimizer:
    """Warms up linearly, holds, and decays linearly to nothing over the last ``decay`` of the run.

    Args:
        modules: what to train.
        muon: learning rate of matrices inside blocks, scaled to match AdamW's update size.
        adamw: learning rate of embeddings, heads, norms and biases.
    """

    def __init__(self, modules: Iterable[torch.nn.Module], muon: float, adamw: float, weight_decay: float = 0.02):
        named = [pair for module in modules for pair in module.named_parameters() if pair[1].requires_grad]
        # InternViT's are called "layer".
        inside = re.compile(r"\.layers?\.")
        matrices = [p for name, p in named if p.ndim == 2 and inside.search(name) and muon]
        chosen = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in chosen]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=adamw, betas=(0.9, 0.98), weight_decay=weight_decay)
        ]
        if matrices:
            self._parts.append(
                torch.optim.Muon(matrices, lr=muon, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        self._rates = [group["lr"] for part in self._parts for group in part.param_groups]
        self.parameters = [p for _, p in named]

    def step(self, progress: float, warmup: float = 0.02, decay: float = 0.4) -> None:
        """One step at this share of the run."""
        scale = min(1.0, (progress + 1e-4) / warmup, (1 - progress) / decay + 1e-3)
        groups = [group for part in self._parts for group in part.param_groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate * scale
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part in self._parts:
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)
