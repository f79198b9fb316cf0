"""What a Ray of our own is told to have, so that no deployment waits in it for ever; and what no machine has."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from ray.serve import Application

from services.common import room
from services.common.deployment import deploy, with_share
from services.common.replica import Replica
from services.common.settings import REPLICA_CPUS, SettingError, Settings
from services.llm.settings import LlmSettings


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_OVERRIDE_RESOURCES", raising=False)
    monkeypatch.setattr(room.ray_utils, "get_num_cpus", lambda **_: 2.9)


def application(settings: Settings) -> Application:
    tower = deploy(Replica, "Tower", settings, accelerator=True)
    return deploy(Replica, "Front", settings, cpus=0.5).bind(settings, tower.bind(settings))


@pytest.mark.parametrize(
    ("cpus", "replicas", "told"),
    [
        # Those there are, where they are enough.
        (0.1, 1, 3),
        (1.0, 1, 3),
        # Each has room alone.
        (2.0, 1, 3),
        # Autoscaling may add some, which compute side by side.
        (1.0, 3, 5),
    ],
)
def test_as_many_as_the_deployments_may_ask_for(cpus: float, replicas: int, told: int) -> None:
    assert room.logical_cores(cpus, replicas, 0.5 * replicas) == told


def test_a_replica_that_would_compute_with_more_than_there_are() -> None:
    told = "HEROSERVE_REPLICA_CPUS=2.5: a replica computes with so many cores, and this machine has 2; lower it"
    with pytest.raises(SettingError, match=f"^{re.escape(told)}$"):
        room.logical_cores(2.5, 1, 0)


def test_a_replica_that_takes_more_gpus_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray would wait for them for ever; where there are none a deployment asks for none.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    room.check_gpus(application(Settings(replica_gpus=1)), 1)
    for settings in (Settings(replica_gpus=2), Settings(replica_gpus=1, min_replicas=2, max_replicas=2)):
        with pytest.raises(SettingError, match=r"^HEROSERVE_REPLICA_GPUS: [12] of .* take 2 together, and .* has 1; "):
            room.check_gpus(application(settings), settings.min_replicas)
    room.check_gpus(application(Settings(replica_gpus=0.5, min_replicas=2, max_replicas=2)), 2)


def test_a_gpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SettingError, match=r"^HEROSERVE_DEVICE='cuda': this machine has no GPU$"):
        room.check_gpus(application(Settings(device="cuda")), 1)


def test_what_somebody_tells_ray_goes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 1}')
    assert room.logical_cores(64, 1, 0) is None


def test_cores_are_counted_as_ray_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(SettingError, match=r"and this machine has [0-9]+; lower it$"):
        room.logical_cores(1024, 1, 0)


@pytest.mark.parametrize(
    ("settings", "cores", "share"),
    [
        (Settings(), 2.9, 2),
        (Settings(), 64, 64),
        (Settings(max_replicas=3), 64, 21),
        # Each has one, however many there are.
        (Settings(max_replicas=8), 2, 1),
        # vLLM's processes compute side by side; those of another engine are not there.
        (LlmSettings(max_replicas=2, engine="vllm", tensor_parallel=4), 64, 8),
        (LlmSettings(max_replicas=2, tensor_parallel=4), 64, 32),
    ],
)
def test_models_share_the_cores_that_are_there(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, cores: float, share: float
) -> None:
    monkeypatch.setattr(room.ray_utils, "get_num_cpus", lambda **_: cores)
    assert room.share(settings.models_at_once) == share
    # None waits for ever.
    assert (room.logical_cores(1, settings.models_at_once, 0) or 0) >= settings.models_at_once * share


def test_wide_models_have_their_share_where_nobody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPLICA_CPUS, raising=False)
    read = Settings()
    assert with_share(read, None, 2.0, 1024) == with_share(read, {}, 2.0, 256) == replace(read, replica_cpus=2.0)
    # The bundled one.
    assert with_share(read, None, 2.0, 128) == read
    assert with_share(read, {REPLICA_CPUS: "1"}, 2.0, 1024) == read
    monkeypatch.setenv(REPLICA_CPUS, "1")
    assert with_share(read, None, 2.0, 1024) == read
    # As every other setting: blank is its default.
    monkeypatch.setenv(REPLICA_CPUS, " ")
    assert with_share(read, None, 2.0, 1024).replica_cpus == 2
