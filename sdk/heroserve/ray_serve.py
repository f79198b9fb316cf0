"""All that this client knows of Ray Serve, which runs the services and answers for them while they can't."""

from __future__ import annotations

import grpc

# The application behind each service of the proto: several share one proxy, and the metadata tells them apart.
APPLICATIONS = {"heroserve.v1.VisionChat": "llm", "heroserve.v1.VisionEncoder": "encoder"}

# Its words while a service comes up or drains: nothing of ours was asked, and it passes.
_NOT_DEPLOYED = "Application '"
_STARTING = "starting or stopping: "
# And when the process that was answering is gone; its proxy calls that INTERNAL, where ours is not in front of it.
_REPLICA_DIED = "The actor "


def route(service: str) -> tuple[str, str]:
    """The metadata that leads a call to `service`, named as in the proto."""
    return "application", APPLICATIONS[service]


def unavailable(code: grpc.StatusCode, details: str) -> str | None:
    """What happened, for a status of the proxy's own that means UNAVAILABLE; None for every other."""
    if code is grpc.StatusCode.NOT_FOUND and details.startswith(_NOT_DEPLOYED):
        return _STARTING + details
    if code is grpc.StatusCode.INTERNAL and details.startswith(_REPLICA_DIED):
        return "a replica died while it served this"
    return None


def is_starting(reason: str) -> bool:
    """Whether what `unavailable` told is that nobody was asked yet."""
    return reason.startswith(_STARTING)
