"""What a Ray of our own is told to have, so that no deployment waits in it for ever; and what no machine has."""

from __future__ import annotations

import re

import pytest
from ray.serve import Application

from services.common import room
from services.common.deployment import deploy
from services.common.replica import Replica
from services.common.settings import SettingError, Settings


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_OVERRIDE_RESOURCES", raising=False)
    monkeypatch.setattr(room.ray_utils, "get_num_cpus", lambda **_: 2.9)


def cores(settings: Settings) -> int | None:
    tower = deploy(Replica, "Tower", settings, accelerator=True)
    application: Application = deploy(Replica, "Front", settings, cpus=0.5).bind(settings, tower.bind(settings))
    return room.logical_cores(
        application, computes_with=settings.replica_cpus, least=settings.min_replicas, most=settings.max_replicas
    )


@pytest.mark.parametrize(
    ("cpus", "replicas", "told"),
    [
        # Those there are, where they are enough.
        (0.1, 1, 2),
        (1.0, 1, 2),
        # Each has room alone.
        (2.0, 1, 3),
        # Autoscaling may add some, which compute side by side.
        (1.0, 3, 5),
    ],
)
def test_as_many_as_the_deployments_may_ask_for(cpus: float, replicas: int, told: int) -> None:
    assert cores(Settings(replica_cpus=cpus, max_replicas=replicas)) == told


def test_a_replica_that_would_compute_with_more_than_there_are() -> None:
    told = "HEROSERVE_REPLICA_CPUS=2.5: a replica computes with so many cores, and this machine has 2; lower it"
    with pytest.raises(SettingError, match=f"^{re.escape(told)}$"):
        cores(Settings(replica_cpus=2.5))


def test_a_replica_that_takes_more_gpus_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray would wait for them for ever; where there are none a deployment asks for none.
    monkeypatch.setattr(room.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(room.torch.cuda, "device_count", lambda: 1)
    assert cores(Settings(replica_gpus=1)) == 2
    for settings in (Settings(replica_gpus=2), Settings(replica_gpus=1, min_replicas=2, max_replicas=2)):
        with pytest.raises(SettingError, match=r"^HEROSERVE_REPLICA_GPUS: [12] of .* take 2 together, and .* has 1; "):
            cores(settings)
    assert cores(Settings(replica_gpus=0.5, min_replicas=2, max_replicas=2)) == 3


def test_a_gpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SettingError, match=r"^HEROSERVE_DEVICE='cuda': this machine has no GPU$"):
        cores(Settings(device="cuda"))


def test_what_somebody_tells_ray_goes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 1}')
    assert cores(Settings(replica_cpus=64)) is None


def test_cores_are_counted_as_ray_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(SettingError, match=r"and this machine has [0-9]+; lower it$"):
        cores(Settings(replica_cpus=1024))
