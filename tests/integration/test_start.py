"""Replicas that can't start: what a setting keeps from it ends the deployment at once, what may pass is tried again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve

from scripts.redis_server import free_port
from services.common import metrics, ray_there
from services.encoder.app import build as build_encoder
from services.llm.app import build as build_llm
from tests.support.replicas import picky
from tests.support.services import Services
from tests.support.waiting import until

NAME = "starting"


@pytest.fixture(autouse=True)
def deleted(services: Services) -> Iterator[None]:
    yield
    serve.delete(NAME)


def status() -> Any:
    return serve.status().applications[NAME]


def replicas(services: Services, deployment: str) -> set[Path]:
    """A file of each that there ever was."""
    return set((services.logs / "serve").glob(f"replica_{NAME}_{deployment}_*.log"))


def tries(folder: Path) -> int:
    return len(list((folder / "tries").iterdir()))


def test_a_ray_that_runs_is_found(services: Services):
    ray_there.check(ray.get_runtime_context().gcs_address)


@pytest.mark.parametrize(
    ("build", "deployment", "file"),
    [
        (build_llm, "Chat", "model.safetensors"),
        (build_encoder, "VisionTower", "model.safetensors"),
        (build_encoder, "Encoder", "clip/tokenizer.json"),
    ],
    ids=["Chat", "VisionTower", "Encoder"],
)
def test_a_checkpoint_that_is_damaged_after_it_was_checked(
    services: Services, folder: Path, tmp_path: Path, build: Any, deployment: str, file: str
):
    counts = str(tmp_path / "counts")
    metrics.prepare(counts)
    application = build(
        {
            "HEROSERVE_MODEL": str(folder),
            "HEROSERVE_RELEVANCE_MODEL": str(folder / "clip"),
            "HEROSERVE_REPLICA_CPUS": "0.1",
            "HEROSERVE_METRICS_PORT": str(free_port()),
            "HEROSERVE_METRICS_DIR": counts,
        }
    )
    (folder / file).unlink()
    before = replicas(services, deployment)
    with pytest.raises(RuntimeError, match=deployment):
        serve.run(application, name=NAME, route_prefix=f"/{NAME}")
    variable = "RELEVANCE_MODEL" if "clip" in file else "MODEL"
    told = {name: one for name, one in status().deployments.items() if one.status == "DEPLOY_FAILED"}
    assert set(told) == {deployment}
    message = told[deployment].message
    assert message.splitlines()[-1].startswith(f"HEROSERVE_{variable}={str((folder / file).parent)!r}: ")
    assert "Traceback" not in message
    # One process that tried, which said no more than that it was there.
    assert len(replicas(services, deployment) - before) == 1


def test_it_ends_at_the_first_try_in_one_line(services: Services, tmp_path: Path):
    (tmp_path / "refusal").touch()
    with pytest.raises(RuntimeError):
        serve.run(picky(tmp_path, free_port()), name=NAME, route_prefix=f"/{NAME}")
    assert tries(tmp_path) == 1
    message = status().deployments["Picky"].message
    assert message.splitlines()[-1] == f"HEROSERVE_MODEL={str(tmp_path)!r}: it is refused"
    # A new deploy starts anew.
    (tmp_path / "refusal").unlink()
    (tmp_path / "again").mkdir()
    serve.run(picky(tmp_path / "again", free_port()), name=NAME, route_prefix=f"/{NAME}")


def test_what_may_pass_is_tried_again(services: Services, tmp_path: Path):
    serve.run(picky(tmp_path, free_port(), trouble=2), name=NAME, route_prefix=f"/{NAME}")
    assert tries(tmp_path) == 3


def test_one_that_can_not_be_started_later_takes_no_other_down(services: Services, tmp_path: Path):
    """And is tried until it can."""
    handle = serve.run(picky(tmp_path, free_port(), replicas=2), name=NAME, route_prefix=f"/{NAME}")
    (victim, survivor), before = sorted(int(file.name) for file in (tmp_path / "tries").iterdir()), tries(tmp_path)
    (tmp_path / "refusal").touch()
    os.kill(victim, signal.SIGKILL)
    assert until(lambda: tries(tmp_path) >= before + 3, 120, 0.2)
    assert handle.pid.remote().result(timeout_s=30) == survivor
    assert status().status in ("UNHEALTHY", "RUNNING", "DEPLOYING")
    (tmp_path / "refusal").unlink()
    assert until(lambda: len({handle.pid.remote().result(timeout_s=30) for _ in range(20)}) == 2, 120, 0.5)
    assert status().status == "RUNNING"
