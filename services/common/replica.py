"""What every replica does first, and what becomes of one that a setting keeps from starting."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import ray
import torch
from huggingface_hub import errors as hub
from ray import serve
from ray.exceptions import RayError

from services.common import logs, metrics, own_ray, tracing
from services.common.probe import Probe
from services.common.settings import SettingError, Settings

T = TypeVar("T", bound=Settings)

# What a Serve client finds it by.
_CONTROLLER = {"name": "SERVE_CONTROLLER_ACTOR", "namespace": "serve"}

logger = logging.getLogger(__name__)


class Replica(Generic[T]):
    """A deployment's class: ``open`` loads what it serves with.

    Serve tries a constructor that raises three times, each in a process of its own. Whatever passes by itself, a hub
    that is out of reach or an accelerator that is full, is worth that. A SettingError is not: it ends the deployment at
    the first try, its line is the deployment's status, and no traceback is written. Where replicas run already it ends
    nothing: they go on, and the line is in the log.
    """

    # How long until one that can't be started beside others is tried again: each try loads what it can.
    again_s = 20.0
    # With as many threads as HEROSERVE_REPLICA_CPUS says; else with one.
    computes = True
    # Of what it computes on, where there is something to look at.
    probe: Probe | None = None

    async def __init__(self, settings: T, *others: Any) -> None:  # type: ignore[misc]  # Serve awaits it
        try:
            _start(settings, round(settings.replica_cpus) if self.computes else 1)
            await self.open(settings, *others)
        except SettingError as error:
            if passes(error):
                raise
            await _give_up(error, self.again_s)

    @abstractmethod
    async def open(self, settings: T, *others: Any) -> None:
        """Load everything.

        Raises:
            SettingError: a setting can't be used, or what it names.
        """

    async def check_health(self) -> None:
        """Serve asks, and puts another in the place of a replica that does not answer, or raises, three times in a row.

        A coroutine, so that the loop answers which answers requests: one that hangs is found. It waits for nothing, so
        that one that is busy is not.
        """
        if self.probe is not None:
            self.probe.look()

    async def ready(self) -> dict[str, str]:
        """What a question would wait for in vain now: names of services, and what is wrong with them.

        Raises, or does not return, where nothing can be answered.
        """
        return {}


def passes(error: BaseException) -> bool:
    """Whether it may be gone at the next try: what it comes of is a network's, a hub's or an accelerator's trouble."""
    return any(_is_trouble(cause) for cause in _causes(error))


def _is_trouble(error: BaseException) -> bool:
    # Of its HTTP client, which is not the same in each version.
    if isinstance(error, hub.HTTPError):  # type: ignore[attr-defined]
        # Without a response there was no answer at all.
        status = getattr(getattr(error, "response", None), "status_code", None)
        return status is None or status == 429 or status >= 500
    # The second but last: the hub could not be asked, and the file is not at hand.
    return isinstance(error, (ConnectionError, TimeoutError, hub.LocalEntryNotFoundError, torch.OutOfMemoryError))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _start(settings: Settings, threads: int) -> None:
    """Logs, spans, metrics and threads of a replica's process."""
    logs.configure(settings.log_level, settings.log_format, settings.log_file)
    tracing.configure(f"heroserve-{settings.name}")
    metrics.serve(settings.metrics_port, settings.metrics_folder)
    own_ray.keep_replica_inside()
    torch.set_num_threads(max(1, threads))


async def _give_up(error: SettingError, again_s: float) -> None:
    """Wait for Serve to stop this replica.

    Raises:
        SettingError: this Serve can't be told; then it does what it does with every constructor that raises.
    """
    line = " ".join(str(error).split())
    try:
        controller = ray.get_actor(**_CONTROLLER)
        tell = _failure(serve.get_replica_context().replica_id, line)
        if not await controller.__ray_call__.remote(tell, False):
            logger.error("a replica can't start, others go on: %s", line)
            await asyncio.sleep(again_s)
            await controller.__ray_call__.remote(tell, True)
    except RayError:
        # Not from it: Serve shows the whole of what it is given.
        raise SettingError(line) from None
    await asyncio.Event().wait()


def _failure(replica: Any, line: str) -> Any:
    """What Serve's controller is asked to run: it has no other way to hear that a constructor need not be tried again.

    It does what it does with replicas that can't be scheduled. A closure, so that it travels by value: the controller's
    process need not find our modules.
    """

    def fail(controller: Any, beside_others: bool) -> bool:
        """Whether the replica is given up."""
        state = controller.deployment_state_manager._deployment_states[replica.deployment_id]
        first = not state._replica_has_started or state._target_state.rolling_update
        if not first and not beside_others:
            return False
        for _ in range(state._failed_to_start_threshold if first else 1):
            state.record_replica_startup_failure(line)
        state.stop_replicas([replica])
        return True

    return fail
