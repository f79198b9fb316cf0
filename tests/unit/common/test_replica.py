"""Which failures of a start are worth another try."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch
from huggingface_hub import hf_hub_download, utils
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from ray.serve._private.constants import REPLICA_HEALTH_CHECK_UNHEALTHY_THRESHOLD

from scripts.redis_server import free_port
from services.common import deployment
from services.common.replica import Replica, passes
from services.common.settings import SettingError, Settings
from services.encoder.app import EncoderDeployment, VisionTowerDeployment
from services.llm.app import ChatDeployment
from tests.support.replicas import Picky


@contextmanager
def hub(status: int) -> Iterator[str]:
    """One that answers everything with this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def asked(endpoint: str) -> SettingError:
    """What becomes of asking a hub there."""
    with pytest.raises(HfHubHTTPError) as failed:
        utils.hf_raise_for_status(utils.get_session().get(endpoint))
    return caused(failed.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_ill(status):
    with hub(status) as endpoint:
        assert passes(asked(endpoint))


@pytest.mark.parametrize("status", [401, 404])
def test_a_hub_that_has_no_such_checkpoint(status):
    with hub(status) as endpoint:
        assert not passes(asked(endpoint))


def test_a_hub_that_is_out_of_reach(tmp_path):
    with pytest.raises(Exception, match="refused") as failed:
        utils.get_session().get(f"http://127.0.0.1:{free_port()}")
    assert passes(caused(failed.value))
    # What it comes to behind that.
    with pytest.raises(LocalEntryNotFoundError) as failed:
        hf_hub_download("somebody/some-model", "config.json", local_files_only=True, cache_dir=tmp_path)
    assert passes(caused(failed.value))


def caused(error: Exception) -> SettingError:
    refused = SettingError("HEROSERVE_MODEL: no")
    refused.__cause__ = error
    return refused


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), TimeoutError(), ConnectionResetError()]
)
def test_what_passes(error):
    assert passes(caused(error))
    assert passes(caused(caused(error)))


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError("x"), PermissionError("x"), KeyError("x")])
def test_what_does_not(error):
    assert not passes(caused(error))
    assert not passes(SettingError("x"))


def test_one_that_hangs_is_found_within_fifteen_seconds() -> None:
    config = deployment.deploy(Picky, "Picky", Settings(replica_cpus=0.1))._deployment_config
    in_a_row_s = REPLICA_HEALTH_CHECK_UNHEALTHY_THRESHOLD * config.health_check_timeout_s
    # The first is begun a period after the last answer, give or take a tenth.
    assert 1.1 * config.health_check_period_s + in_a_row_s < 15


@pytest.mark.parametrize("kind", [EncoderDeployment, VisionTowerDeployment, ChatDeployment])
def test_health_is_answered_on_the_loop_that_requests_are_answered_on(kind: type[Replica[Any]]) -> None:
    """Serve calls what is no coroutine in a thread, which goes on answering while the loop hangs."""
    assert inspect.iscoroutinefunction(kind.check_health)
    assert inspect.iscoroutinefunction(kind.ready)
