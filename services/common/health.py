"""Whether a service on this machine takes requests: for container engines, which ask by running a command."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path

from services.common.metric_folder import READY
from services.common.settings import SettingError, Settings

# Paths of the HTTP port: whether a question would be answered now; and Ray's own, that Serve's proxy runs and has heard
# of an application. Of replicas that one knows nothing.
READY_PATH = "/readyz"
ALIVE_PATH = "/-/healthz"

_TIMEOUT_S = 5.0


def mark(settings: Settings) -> None:
    """Its replicas have started: there is an answer at last."""
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
    status, answer = _ask(settings, READY_PATH)
    if status == 404:
        # A Ray that it joined, whose proxies were set up by others.
        status, answer = _ask(settings, ALIVE_PATH)
    return None if status == 200 else f"{settings.name} is not ready: {answer.strip()}"


def _ask(settings: Settings, path: str) -> tuple[int, str]:
    """Status and body; status 0 where there is no answer."""
    connection = http.client.HTTPConnection(settings.reachable_host, settings.http_port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"no answer on port {settings.http_port}: {error}"
    finally:
        connection.close()
