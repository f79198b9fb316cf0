"""A replica that dies costs time, not answers."""

from __future__ import annotations

import os
import signal

import pytest

import heroserve
from tests.support.pictures import encoded, picture
from tests.support.services import Services, processes


def replicas(deployment: str) -> list[int]:
    """Process ids of a deployment's replicas."""
    return [process.pid for process, command in processes() if command.startswith(f"ray::ServeReplica:{deployment}")]


@pytest.mark.parametrize("deployment", ["encoder:VisionTower", "encoder:Encoder", "llm:Chat"])
def test_a_replica_that_dies_is_replaced_and_nobody_is_told_of_a_bug(services: Services, deployment: str):
    image = encoded(picture(260, 190, seed=len(deployment)))
    retry = heroserve.RetryPolicy(attempts=20)
    with heroserve.Client(services.grpc, encoder_target=services.grpc, timeout_s=90, retry=retry) as client:
        expected = client.ask(image, "What is it?", max_tokens=6).text
        victims = replicas(deployment)
        assert victims
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        fresh = encoded(picture(270, 180, seed=len(deployment)))
        assert client.encode(fresh, "What is it?").savings.kept > 0
        assert client.ask(image, "What is it?", max_tokens=6).text == expected
    assert not set(victims) & set(replicas(deployment))
