"""A training step's loop: seeded, logged, saved often, resumed where it stopped."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch

from .optimizer import Optimizer
from .parallel import average_gradients, barrier, rank

Report = dict[str, float]


class Run:
    """One step of the recipe in ``folder``: ``<name>.pt`` is its state, ``<name>.jsonl`` its log.

    Args:
        folder: where all steps keep theirs.
        name: of this step.
        steps: optimizer steps in all.
        modules: what is saved, by name.
    """

    def __init__(self, folder: Path, name: str, steps: int, modules: dict[str, torch.nn.Module]) -> None:
        self.folder = folder
        self.name = name
        self.steps = steps
        self._modules = modules
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.pt"

    def train(self, optimizer: Optimizer, loss: Callable[[int], tuple[torch.Tensor, Report]], every: int = 50) -> None:
        """Take every step that is left; ``loss`` gets the step's number and seeds itself by it.

        Args:
            every: steps between two lines of the log; the state is saved every fourth.
        """
        step = self._resume(optimizer)
        sums: dict[str, list[float]] = defaultdict(list)
        start = time.monotonic()
        while step < self.steps:
            value, report = loss(step)
            torch.autograd.backward(value)
            average_gradients(optimizer.parameters)
            optimizer.step(step / self.steps)
            step += 1
            for key, number in {"loss": float(value.detach()), **report}.items():
                if number == number:
                    sums[key].append(number)
            last = step == self.steps
            if rank() == 0 and (step % every == 0 or last):
                self._log(step, {key: sum(all_) / len(all_) for key, all_ in sums.items()}, time.monotonic() - start)
                sums.clear()
            if rank() == 0 and (step % (4 * every) == 0 or last):
                self._save(step, optimizer)
        barrier()

    def load(self) -> None:
        """The modules of a finished run.

        Raises:
            FileNotFoundError: it never ran.
            ValueError: it is not finished.
        """
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        if state["step"] < self.steps:
            raise ValueError(f"{self.path} stands at step {state['step']} of {self.steps}")
        for name, module in self._modules.items():
            module.load_state_dict(state["modules"][name])

    def _resume(self, optimizer: Optimizer) -> int:
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        for name, module in self._modules.items():
            module.load_state_dict(state["modules"][name])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])

    def _save(self, step: int, optimizer: Optimizer) -> None:
        modules = {name: module.state_dict() for name, module in self._modules.items()}
        part = self.path.with_suffix(".part")
        torch.save({"step": step, "modules": modules, "optimizer": optimizer.state_dict()}, part)
        # A run that is killed while it saves keeps what it had.
        os.replace(part, self.path)

    def _log(self, step: int, report: Report, seconds: float) -> None:
        line = {
            "step": step,
            "of": self.steps,
            "seconds": round(seconds),
            **{k: round(v, 4) for k, v in report.items()},
        }
        with (self.folder / f"{self.name}.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(self.name, *(f"{key} {value:g}" for key, value in line.items()), flush=True)
