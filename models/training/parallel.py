"""Several processes of one thread each, with their gradients averaged: models this small gain little from threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn as spawn_processes

from services.common.parent import end_with


def rank() -> int:
    """Which process this is; 0 logs and saves."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(batch: int) -> int:
    """This process's part of a batch."""
    return batch // distributed.get_world_size() if distributed.is_initialized() else batch


def average_gradients(parameters: Iterable[torch.Tensor]) -> None:
    """Every process goes on with the mean of all."""
    if not distributed.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def barrier() -> None:
    """Wait for all: a state is whole before anybody reads it."""
    if distributed.is_initialized():
        distributed.barrier()


def spawn(workers: int, port: int, work: Callable[..., None], *arguments: object) -> None:
    """Run ``work(*arguments)`` in so many processes, which end with this one."""
    spawn_processes(_begin, (os.getpid(), workers, port, work, arguments), workers)  # type: ignore[no-untyped-call]


def _begin(
    index: int, starter: int, workers: int, port: int, work: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    if not end_with(starter):
        raise SystemExit("who started this process is gone")
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=index, world_size=workers)
    try:
        work(*arguments)
    finally:
        distributed.destroy_process_group()
