"""How a service's deployments are set up."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from ray import serve
from ray.serve import Deployment

from services.common import api_keys, metrics, quotas, tracing
from services.common.admission import Admission, Line
from services.common.device import WIDE
from services.common.ingress import pages
from services.common.known import VARIABLES
from services.common.replica import Replica
from services.common.settings import REPLICA_CPUS, SettingError, Settings
from services.common.variable import unknown

T = TypeVar("T", bound=Settings)

# Places in a replica beside those of its line.
_SPARE = 16

logger = logging.getLogger(__name__)


def settings(cls: type[T], args: Mapping[str, str] | None) -> T:
    """Settings from the environment, overlaid with the arguments of a Serve config file (same names).

    Warns of each variable that nobody reads: misspelt, it would change nothing, and say nothing.

    Raises:
        SettingError: one can't be used, or an OTLP endpoint is set without the packages that it needs.
    """
    tracing.wanted()
    variables = {**os.environ, **(args or {})}
    for line in unknown(variables, VARIABLES):
        logger.warning("%s", line)
    found = cls.from_env(variables)
    _check_proxies(found, variables)
    return found


def with_share(settings: T, args: Mapping[str, str] | None, share: float, width: int) -> T:
    """With this share of the machine's cores for each replica of a model, where HEROSERVE_REPLICA_CPUS says nothing.

    Args:
        settings: as ``settings`` read them from the environment and
        args: a Serve config file's.
        share: cores.
        width: of the model's hidden states, in values; a narrow one has nothing to share out among threads.
    """
    said = {**os.environ, **(args or {})}.get(REPLICA_CPUS, "").strip()
    return settings if said or width < WIDE else replace(settings, replica_cpus=share)


def _check_proxies(settings: Settings, variables: Mapping[str, str]) -> None:
    """They go by the environment alone; what they hold a caller to is what the replicas do."""
    try:
        at_proxies = api_keys.from_env()
    except ValueError as error:
        raise SettingError(str(error)) from None
    if at_proxies and at_proxies != settings.api_keys:
        raise SettingError(
            f"{api_keys.VARIABLE}: the configuration's arguments and the environment, which Ray's proxies go by, have "
            "other keys; set them in one of the two"
        )
    if pages.wanted(variables) != pages.wanted(os.environ):
        raise SettingError(
            f"{pages.VARIABLE}: Ray's proxies serve it, and go by the environment, not by the configuration's "
            "arguments; set it there"
        )
    for variable in (quotas.RATE, quotas.CONCURRENCY):
        # Counted by proxies alone.
        value = os.environ.get(variable, "").strip()
        if variables.get(variable, "").strip() != value:
            raise SettingError(
                f"{variable}: Ray's proxies count, and go by the environment, not by the configuration's arguments; "
                "set it there"
            )
        if value and not at_proxies:
            raise SettingError(
                f"{variable}={value}: it is a quota of each API key, and the environment, which Ray's proxies go by, "
                f"has none in {api_keys.VARIABLE}; set both there"
            )


def deploy(
    replica: type[Replica[T]],
    name: str,
    settings: T,
    *,
    cpus: float | None = None,
    accelerator: bool = False,
    parallel: int = 1,
    ongoing: int | None = None,
    policy: str | None = None,
    target: float | None = None,
    router: str | None = None,
) -> Deployment:
    """A deployment of ``replica``: its resources, autoscaling, routing, back-pressure and environment.

    Args:
        replica: the class each replica is one of.
        name: of the deployment.
        settings: of the service.
        cpus: cores a replica reserves; by default HEROSERVE_REPLICA_CPUS.
        accelerator: the deployment runs the model.
        parallel: accelerators that a replica spreads the model over, all of one node.
        ongoing: requests that a replica works on at once; by default HEROSERVE_MAX_ONGOING_REQUESTS.
        policy: of autoscaling, as ``module:function``; by default Serve's own.
        target: of each replica, in what that policy measures; by default half of ``ongoing``, in requests.
        router: of requests to replicas, as ``module.Class``; by default Serve's own.

    Raises:
        SettingError: it would be spread over shares of accelerators.
    """
    ongoing = settings.max_ongoing_requests if ongoing is None else ongoing
    if parallel > 1 and settings.replica_gpus != 1:
        raise SettingError(
            f"HEROSERVE_REPLICA_GPUS={settings.replica_gpus:g}: HEROSERVE_TENSOR_PARALLEL={parallel} takes whole ones, "
            "as many as it says; leave it out"
        )
    on_gpu = accelerator and (settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available()))
    options: dict[str, Any] = {
        # They wait in the replica, which knows their deadlines: Serve's router backs off where it finds a replica full.
        # Who finds that line full is told by the replica too, and whoever asks whether it lives finds room.
        "max_ongoing_requests": ongoing + settings.max_queued_requests + _SPARE,
        "max_queued_requests": settings.max_queued_requests,
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": max(1, ongoing // 2) if target is None else target,
            "upscale_delay_s": settings.upscale_delay_s,
            "downscale_delay_s": settings.downscale_delay_s,
            **_measured(settings),
            **({} if policy is None else {"policy": {"policy_function": policy}}),
        },
        "ray_actor_options": {
            "num_cpus": (settings.replica_cpus if cpus is None else cpus) * (1 if on_gpu else parallel),
            "num_gpus": settings.replica_gpus * parallel if on_gpu else 0,
            # prometheus_client picks its mode when it is imported, so the variable comes with the process.
            "runtime_env": {"env_vars": {metrics.VARIABLE: settings.metrics_folder}},
        },
        # Three time-outs in a row, and it is replaced: within 15 s where it hangs. The answer takes no turn and waits
        # for nothing, so that one that is busy has it in time.
        "health_check_period_s": 2,
        "health_check_timeout_s": 4,
        "graceful_shutdown_timeout_s": settings.request_timeout_s,
        "graceful_shutdown_wait_loop_s": 0.5,
    }
    if router is not None:
        options["request_router_config"] = {"request_router_class": router}
    return serve.deployment(name=name, **options)(replica)


def open_admission(settings: Settings, slots: int, ongoing: int | None = None) -> Admission:
    """Who may work in a replica.

    Args:
        settings: of the service.
        slots: requests that it has work for at once.
        ongoing: as in ``deploy``.
    """
    line = Line(settings.max_queued_requests, settings.max_wait_s, settings.max_queued_bytes)
    return Admission(min(slots, settings.max_ongoing_requests if ongoing is None else ongoing), line)


def _measured(settings: Settings) -> dict[str, float]:
    """Over how many seconds the autoscaler takes the mean of the load, and how often it hears of it.

    Ray's 30 and 10 at most. A delay shorter than the mean's window would mean nothing: the past would outweigh it. Ray
    wants the window longer than the interval; reports more often than once a second would be a load themselves.
    """
    window = min(30.0, max(3.0, min(settings.upscale_delay_s, settings.downscale_delay_s)))
    return {"look_back_period_s": window, "metrics_interval_s": window / 3}
