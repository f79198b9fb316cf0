"""Whether a service on this machine takes requests: for container engines, which ask by running a command."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path

from services.common.metric_folder import READY
from services.common.settings import SettingError, Settings

_TIMEOUT_S = 5.0


def mark(settings: Settings) -> None:
    """Its replicas have started. Serve's own health only tells that its proxy knows of the application."""
    (Path(settings.metrics_folder) / READY).touch()


def unmark(settings: Settings) -> None:
    """It is stopping, or a run before this one did not get to say so."""
    (Path(settings.metrics_folder) / READY).unlink(missing_ok=True)


def main(settings: type[Settings]) -> None:
    """Exit with 0 if it takes requests, else with 1 and a line that says what is wrong."""
    try:
        problem = _problem(settings.from_env())
    except SettingError as error:
        problem = str(error)
    if problem:
        sys.exit(f"heroserve: {problem}")


def _problem(settings: Settings) -> str | None:
    if not (Path(settings.metrics_folder) / READY).exists():
        return f"{settings.name} is starting or stopping"
    connection = http.client.HTTPConnection(settings.reachable_host, settings.http_port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/-/healthz")
        response = connection.getresponse()
        answer = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{settings.name} does not answer on port {settings.http_port}: {error}"
    finally:
        connection.close()
    return None if response.status == 200 else f"{settings.name} answers {response.status}: {answer}"
