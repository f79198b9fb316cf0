"""What this machine has: cores and GPUs, that Ray would wait for for ever where there are too few; memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import ray._private.utils as ray_utils
from ray._common.utils import get_system_memory
from ray.serve import Application, Deployment

from services.common.settings import REPLICA_CPUS, SettingError

# A node's resources as somebody tells Ray, in place of what it counts.
_TOLD = "RAY_OVERRIDE_RESOURCES"


def share(models: int) -> float:
    """Of this machine's cores, what each of ``models`` that compute side by side has; at least 1."""
    return float(max(1, _cores() // models))


def logical_cores(computes_with: float, models: int, ingress: float) -> int | None:
    """What a Ray of our own is told to have: as many as its deployments may ever ask for, so that none waits for ever.

    Ray's cores are a count, and hold nobody to anything. Those that this machine has are shared by whoever computes;
    what it does not have, a replica can't compute with.

    Args:
        computes_with: cores of each model, where that is more than its share.
        models: that compute side by side, at most.
        ingress: cores that all other replicas reserve.

    Returns:
        At least those of this machine, counted as Ray counts them; None where RAY_OVERRIDE_RESOURCES tells Ray.

    Raises:
        SettingError: a replica would compute with more cores than there are.
    """
    if _TOLD in os.environ:
        return None
    cores = _cores()
    if computes_with > cores:
        raise SettingError(
            f"{REPLICA_CPUS}={computes_with:g}: a replica computes with so many cores, and this machine has {cores}; "
            "lower it"
        )
    return max(cores, math.ceil(models * max(computes_with, share(models)) + ingress))


def check_gpus(application: Application, least: int) -> None:
    """Whether replicas that are there to begin with get what Ray would wait for for ever.

    Args:
        application: its deployments say what a replica reserves.
        least: replicas of each deployment.

    Raises:
        SettingError: they take more GPUs than there are.
    """
    import torch

    from services.common.device import check_gpu

    options = [each.ray_actor_options or {} for each in _deployments(application)]
    gpus = least * sum(float(each.get("num_gpus", 0)) for each in options)
    if gpus > (there := torch.cuda.device_count()):
        check_gpu()
        raise SettingError(
            f"HEROSERVE_REPLICA_GPUS: {least} of each deployment take {gpus:g} together, and this machine has {there}; "
            "lower it, or HEROSERVE_MIN_REPLICAS"
        )


def _cores() -> int:
    return int(ray_utils.get_num_cpus(override_docker_cpu_warning=True))


def memory_bytes() -> int:
    """Of this machine, or as much of it as a container is given."""
    return int(get_system_memory())


def _deployments(application: Application) -> Iterator[Deployment]:
    """Those bound into one another, as ``serve.run`` finds them."""
    bound: Deployment = application._bound_deployment
    yield bound
    named: dict[str, Any] = bound.init_kwargs  # type: ignore[assignment]  # Ray's hint is of the other
    for argument in (*bound.init_args, *named.values()):
        if isinstance(argument, Application):
            yield from _deployments(argument)
