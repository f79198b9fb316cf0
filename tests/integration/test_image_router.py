"""An image's requests meet in one replica, by Serve's own handles; and find another where that one is gone or hangs."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.handle import DeploymentHandle

from scripts.redis_server import free_port
from services.common import image_router
from services.encoder.app import build
from tests.support.replicas import picky
from tests.support.services import Services

SESSIONS = [f"{number:064x}" for number in range(24)]


@pytest.fixture
def routed(services: Services, tmp_path: Path) -> Iterator[DeploymentHandle[Any]]:
    """Of two replicas."""
    application = picky(tmp_path, free_port(), replicas=2, router=image_router.PATH)
    yield serve.run(application, name="routed", route_prefix="/routed")
    serve.delete("routed")


def pid(handle: DeploymentHandle[Any], session: str) -> int:
    found: int = handle.options(session_id=session).pid.remote().result(timeout_s=30)
    return found


def test_images_have_their_replica_as_long_as_it_answers(routed: DeploymentHandle[Any]):
    homes = {session: pid(routed, session) for session in SESSIONS}
    assert len(set(homes.values())) == 2
    assert homes == {session: pid(routed, session) for session in SESSIONS}
    hangs, other = set(homes.values())
    lost = [session for session in SESSIONS if homes[session] == hangs]
    os.kill(hangs, signal.SIGSTOP)
    try:
        # The first finds out: it waits, and nobody else does for longer than a second.
        victim = routed.options(session_id=lost[0]).pid.remote()
        with pytest.raises(TimeoutError):
            victim.result(timeout_s=2)
        assert {pid(routed, session) for session in lost} == {other}
    finally:
        os.kill(hangs, signal.SIGCONT)
    assert victim.result(timeout_s=30) == hangs
    os.kill(hangs, signal.SIGKILL)
    # Whoever finds out is told, and has the next one by trying again, as callers of a proxy have.
    with contextlib.suppress(RayActorError):
        pid(routed, lost[0])
    assert {pid(routed, session) for session in SESSIONS if homes[session] == other} == {other}
    assert hangs not in {pid(routed, session) for session in lost}


def test_the_encoders_requests_go_by_it(untrained: str):
    """Of its ingress; towers keep nothing of an image, and have Serve's own."""
    ingress = build({"HEROSERVE_MODEL": untrained})._bound_deployment
    assert ingress._deployment_config.request_router_config.request_router_class == image_router.PATH
    (tower,) = (each for each in ingress.init_args if hasattr(each, "_bound_deployment"))
    assert tower._bound_deployment._deployment_config.request_router_config.is_default_request_router()
