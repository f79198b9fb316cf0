"""A Ray for one service: started as often as a slow machine needs it, and told in one line where it can't be."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.common import own_ray, ray_there
from services.common.settings import SettingError
from services.common.shown import assigned, first_line
from services.common.sweeper import Sweeper

OBJECT_STORE_BYTES = 256 << 20
# Each waits for Ray's processes as long as Ray does: half a minute for its node to register, which nobody can set.
_TRIES = 3
_SHORT = "is this machine short of memory, cores or disk? Its own logs are in "

logger = logging.getLogger(__name__)


def start(address: str | None, cores: int | None = None, *, log_to_driver: bool = True) -> None:
    """Start a Ray on this machine that ends with this process, or join the one at ``address``.

    Args:
        address: of one that runs already.
        cores: that a new one is told it has; by default those it counts.
        log_to_driver: pass on what a new one's processes write.

    Raises:
        SettingError: it does not come up, or there is none at the address.
    """
    import ray

    if address:
        ray_there.check(address)
        try:
            ray.init(address=address, namespace="heroserve", logging_level=logging.WARNING)
        except Exception as error:
            raise SettingError(
                f"{assigned(ray_there.VARIABLE, address)}: this Ray can't be joined ({first_line(error)})"
            ) from error
        return
    sweeper = Sweeper() if sys.platform == "linux" else None
    for left in reversed(range(_TRIES)):
        started: list[subprocess.Popen[Any]] = []
        try:
            with _sessions_of_their_own(started, sweeper), own_ray.without_what_serves_clusters():
                ray.init(
                    address="local",
                    namespace="heroserve",
                    include_dashboard=False,
                    num_cpus=cores,
                    object_store_memory=OBJECT_STORE_BYTES,
                    logging_level=logging.WARNING,
                    log_to_driver=log_to_driver,
                )
        except Exception as error:
            # Of many kinds, the plainest among them: what its processes have to say is in their logs alone.
            reason = first_line(error)
            _end(started)
            if not left:
                if sweeper is not None:
                    sweeper.dismiss()
                raise SettingError(f"Ray did not start in {_TRIES} tries ({reason}); {_SHORT}{_logs()}") from error
            logger.warning("Ray did not start in time (%s); trying again, %d tries left", reason, left)
        else:
            return


def start_serve(**options: Any) -> None:
    """``serve.start``, which waits a minute for its proxies. Asked again it goes on with those that it has begun.

    Raises:
        SettingError: it does not come up.
    """
    from ray import serve
    from ray.exceptions import RayError

    for left in reversed(range(_TRIES)):
        try:
            serve.start(**options)
        except (TimeoutError, RayError) as error:
            reason = first_line(error)
            if not left:
                raise SettingError(
                    f"Ray Serve did not start in {_TRIES} tries ({reason}); {_SHORT}{_logs()}"
                ) from error
            logger.warning("Ray Serve did not start in time (%s); waiting on, %d tries left", reason, left)
        else:
            return


def _end(started: list[subprocess.Popen[Any]]) -> None:
    """What a try left behind would take the next one's cores."""
    import ray

    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    ray.shutdown()


def _logs() -> str:
    from ray._common.utils import get_default_ray_temp_dir

    return os.path.join(get_default_ray_temp_dir(), "session_latest", "logs")  # type: ignore[no-untyped-call]


@contextmanager
def _sessions_of_their_own(started: list[subprocess.Popen[Any]], sweeper: Sweeper | None = None) -> Iterator[None]:
    """Who sends a signal to our whole process group means us: Ray's processes are stopped when requests have ended.

    Ray has no setting for it. They end with this process all the same, however it ends; elsewhere than on Linux Ray
    needs them in its group for that. Each is added to ``started``.
    """
    apart_too = {"start_new_session": True} if sys.platform == "linux" else {}
    start, here = subprocess.Popen.__init__, threading.get_ident()

    def apart(self: Any, *args: Any, **options: Any) -> None:
        if threading.get_ident() != here:
            # Another thread's, and none of Ray's.
            start(self, *args, **options)
            return
        start(self, *args, **{**apart_too, **options})
        started.append(self)
        if sweeper is not None:
            # It leads a group, where it has started others.
            sweeper.add(self.pid)

    subprocess.Popen.__init__ = apart  # type: ignore[method-assign]
    try:
        yield
    finally:
        subprocess.Popen.__init__ = start  # type: ignore[method-assign]
