"""Cores that this machine does not have are told before Ray starts, which would wait for them."""

from __future__ import annotations

import re

import pytest
from ray.serve import Application

from services.common import room
from services.common.deployment import deploy
from services.common.replica import Replica
from services.common.settings import SettingError, Settings


def check(settings: Settings) -> None:
    room.check(application(settings), settings.replica_cpus, settings.min_replicas)


def application(settings: Settings) -> Application:
    tower = deploy(Replica, "Tower", settings, accelerator=True)
    return deploy(Replica, "Front", settings, cpus=0.5).bind(settings, tower.bind(settings))


@pytest.mark.parametrize(
    ("replicas", "cpus", "told"),
    [
        (1, 64.0, "64.5 cores together (Front 0.5 + Tower 64), and this machine has 2; lower it"),
        # Each has room alone.
        (1, 2.0, "2.5 cores together (Front 0.5 + Tower 2), and this machine has 2; lower it"),
        (
            2,
            1.0,
            "3 cores together (2 x (Front 0.5 + Tower 1)), and this machine has 2; lower it, or HEROSERVE_MIN_REP",
        ),
    ],
)
def test_more_cores_than_there_are(monkeypatch, replicas, cpus, told):
    monkeypatch.delenv("RAY_OVERRIDE_RESOURCES", raising=False)
    monkeypatch.setattr(room.ray_utils, "get_num_cpus", lambda **_: 2.9)
    settings = Settings(replica_cpus=cpus, min_replicas=replicas, max_replicas=replicas)
    with pytest.raises(
        SettingError, match=rf"^HEROSERVE_REPLICA_CPUS={cpus:g}: the deployments reserve {re.escape(told)}"
    ):
        check(settings)


def test_as_many_as_there_are(monkeypatch):
    monkeypatch.setattr(room.ray_utils, "get_num_cpus", lambda **_: 2)
    # Replicas that autoscaling may add need not have room.
    settings = Settings(replica_cpus=1.5, max_replicas=4)
    check(settings)


def test_cores_are_counted_as_ray_counts_them():
    check(Settings(replica_cpus=0.25))
    with pytest.raises(SettingError, match=r"and this machine has [0-9]+; lower it$"):
        check(Settings(replica_cpus=1024))
