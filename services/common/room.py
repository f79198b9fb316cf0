"""What this machine has: the cores that deployments reserve, which Ray would wait for for ever; memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import ray._private.utils as ray_utils
from ray._common.utils import get_system_memory
from ray.serve import Application, Deployment

from services.common.settings import SettingError

# A node's resources as somebody tells Ray, in place of what it counts.
_TOLD = "RAY_OVERRIDE_RESOURCES"


def check(application: Application, replica_cpus: float, min_replicas: int) -> None:
    """To be asked before a Ray of our own starts, which counts this machine's cores in the same way.

    Args:
        application: its deployments say what a replica reserves.
        replica_cpus: the setting that says it of a model's.
        min_replicas: of each deployment, to begin with.

    Raises:
        SettingError: there are fewer than the smallest number of replicas takes.
    """
    if _TOLD in os.environ:
        return
    cores = int(ray_utils.get_num_cpus(override_docker_cpu_warning=True))
    wanted = {each.name: float((each.ray_actor_options or {}).get("num_cpus", 1)) for each in _deployments(application)}
    total = min_replicas * sum(wanted.values())
    if total <= cores:
        return
    shares = " + ".join(f"{name} {cpus:g}" for name, cpus in wanted.items())
    times = f"{min_replicas} x ({shares})" if min_replicas > 1 else shares
    remedy = ", or HEROSERVE_MIN_REPLICAS" if min_replicas > 1 else ""
    raise SettingError(
        f"HEROSERVE_REPLICA_CPUS={replica_cpus:g}: the deployments reserve {total:g} cores "
        f"together ({times}), and this machine has {cores}; lower it{remedy}"
    )


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
