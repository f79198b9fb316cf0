"""Whether a question to this proxy would be answered now, for everyone who asks: over HTTP, over gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any

from services.common.ingress.canary import Canary

logger = logging.getLogger(__name__)


class Readiness:
    """Of the services of one proxy; asking costs nothing, for the answer is there already.

    Attributes:
        services: by their names in protos.
    """

    def __init__(self) -> None:
        self.services: dict[str, Canary] = {}
        self._applications: dict[str, str] = {}
        self._proxy: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    def watch(self, service: str, application: str, proxy: Any) -> None:
        """Have canaries sent to the application that answers for a service, from the running loop.

        Args:
            service: its name in protos.
            application: Serve's name for what answers for it.
            proxy: Serve's gRPC proxy, whose replicas they ask in the way that callers' requests do.
        """

        async def ask() -> dict[str, str]:
            handle = self._handle(service)
            if handle is None:
                raise LookupError(application)
            lacking: dict[str, str] = await handle.options(method_name="ready", stream=False).remote()
            return lacking

        self._proxy = proxy
        self._applications[service] = application
        self.services[service] = Canary(service, ask)
        self._tasks.append(asyncio.get_running_loop().create_task(self.services[service].run()))

    def problem(self, service: str = "", without: Collection[str] = ()) -> str | None:
        """Why a question would not be answered; None if it would.

        Args:
            service: one of ``services``; if empty, all those that are deployed: where services join a Ray, a proxy may
                know of one that never comes.
            without: what an application may lack, see ``Replica.ready``.
        """
        if not self.services:
            return "this proxy serves nothing of ours"
        if (closed := self._closed()) is not None:
            return closed
        asked = [service] if service else list(self.services)
        deployed = [name for name in asked if self._handle(name)]
        if not deployed:
            return f"{' and '.join(asked)}: not deployed"
        for name in deployed:
            if problem := self.services[name].problem(without):
                return f"{name}: {problem}"
        return None

    def _closed(self) -> str | None:
        """Why Serve's proxy takes no requests."""
        if self._proxy._is_draining():
            return "this node is being drained"
        ready, why = self._proxy.proxy_router.ready_for_traffic(self._proxy._is_head)
        return None if ready else str(why)

    def _handle(self, service: str) -> Any:
        """Of the replicas that answer for it; None if there is no such application."""
        handles = self._proxy.proxy_router.handles
        for endpoint, handle in handles.items():
            # With one application Serve does not ask for its name, nor do we where one service is served.
            if endpoint.app_name == self._applications[service] or len(handles) == len(self.services) == 1:
                return handle
        return None


# Of the proxy whose process this is: gRPC's side of it watches, HTTP's asks too.
HERE = Readiness()
