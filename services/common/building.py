"""A service's application, made while Ray starts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.serve import Application

# Of the share of the machine's cores that each replica of a model has where HEROSERVE_REPLICA_CPUS says nothing.
Build = Callable[[float], "Application"]


class Building:
    """Calls ``build``, in a thread of its own: torch and transformers take as long to import as Ray to start.

    Args:
        build: and
        share: what it is given.

    Attributes:
        seconds: that it took, once it has ended.
    """

    def __init__(self, build: Build, share: float) -> None:
        self.seconds = 0.0
        self._future: Future[Application] = Future()
        # Whoever gives up meanwhile does not wait for it.
        threading.Thread(target=self._run, args=(build, share), name="build", daemon=True).start()

    def check(self) -> None:
        """Raises:
        SettingError: it has failed by now.
        """
        if self._future.done():
            self._future.result()

    def result(self) -> Application:
        """What was made, waited for.

        Raises:
            SettingError: a setting can't be used, or what it names.
        """
        return self._future.result()

    def _run(self, build: Build, share: float) -> None:
        began = time.monotonic()
        try:
            application = build(share)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.seconds = time.monotonic() - began
            self._future.set_exception(error)
        else:
            self.seconds = time.monotonic() - began
            self._future.set_result(application)
