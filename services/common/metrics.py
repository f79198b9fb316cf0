"""One ``/metrics`` port a service and node, right however many processes count.

prometheus_client's multiprocess mode: every process writes to files in one folder, and whoever holds the port
reads them all. The replicas of a service on a node race for the port; when its holder dies, another takes it.
What dead ones counted stays, in a few files however many there were; what they held (gauges) goes with them.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, MetricsHandler, values

from services.common import metric_files, metric_folder, metric_space
from services.common.metric_folder import VARIABLE
from services.common.page_server import PageHandler, PageServer

__all__ = ["VARIABLE", "Counter", "Gauge", "Histogram", "prepare", "remove", "serve"]

_RETRY_S = 2.0

logger = logging.getLogger(__name__)

if VARIABLE in os.environ:
    # A metric opens its file when it is made, on whichever node that is.
    metric_folder.own(Path(os.environ[VARIABLE]))
    metric_space.install()
    try:
        metric_files.fold(Path(os.environ[VARIABLE]))
    except OSError as error:
        # They count as they are, and the next one that starts may have more room.
        logger.warning("HEROSERVE_METRICS_DIR: counts of dead processes stay in many files: %s", error.strerror)


def serve(port: int, folder: str) -> None:
    """Answer ``/metrics`` on ``port`` from this process, now or as soon as the port is free.

    Raises:
        RuntimeError: PROMETHEUS_MULTIPROC_DIR was not ``folder`` when prometheus_client was imported; what
            this process counts would be seen by no one.
    """
    if os.environ.get(VARIABLE) != folder or values.ValueClass.__name__ == "MutexValue":
        raise RuntimeError(f"{VARIABLE} must be {folder!r} in this process's environment from its start")
    threading.Thread(target=_hold_port, args=(port, folder), name="metrics", daemon=True).start()


def prepare(folder: str) -> None:
    """Make the folder that a service's processes share; what an earlier run left in it is removed.

    Raises:
        SettingError: it can't be written, or is not ours.
    """
    metric_folder.own(Path(folder))
    metric_folder.clear(Path(folder))


def remove(folder: str) -> None:
    """Remove what ``prepare`` made, and what processes wrote there, once nobody counts any more."""
    metric_folder.remove(Path(folder))


def _hold_port(port: int, folder: str) -> None:
    while _serve(port, folder) is None:
        time.sleep(_RETRY_S)


def _serve(port: int, folder: str) -> PageServer | None:
    pages = CollectorRegistry()
    pages.register(metric_files.FolderCollector(folder))

    class Handler(PageHandler, MetricsHandler):
        registry = pages

    try:
        server = PageServer(port, Handler, "metrics-page")
    except OSError as error:
        logger.debug("metrics port %d is held by another process: %s", port, error)
        return None
    logger.info("metrics on port %d", port)
    return server
