"""How a service stops."""

from __future__ import annotations

import logging
from typing import NoReturn

import pytest
from ray import serve

from services.common import node
from services.common.settings import Settings


def test_lines_that_have_no_place_end_the_start_before_anything_is_built():
    def build(share: float) -> NoReturn:
        raise AssertionError

    with pytest.raises(SystemExit, match=r"^heroserve: HEROSERVE_LOG_FILE='/': no line can be appended to it \(Is"):
        node.main(lambda: Settings(log_file="/"), lambda _: None, build)


@pytest.mark.parametrize(("timeout_s", "asked", "cut"), [(300.0, 4, False), (90.0, 2, True), (1.0, 1, True)])
def test_requests_have_their_whole_time(
    timeout_s: float, asked: int, cut: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Requests take three minutes. Serve's own wait ends after one, and then it is asked again."""
    now = 0.0
    names = []

    def delete(name: str) -> None:
        nonlocal now
        names.append(name)
        if now < 180:
            now += 60
            raise TimeoutError

    monkeypatch.setattr(node.time, "monotonic", lambda: now)
    monkeypatch.setattr(serve, "delete", delete)
    with caplog.at_level(logging.WARNING):
        node.drain(Settings(request_timeout_s=timeout_s))
    assert len(names) == asked
    assert ("still had requests" in caplog.text) is cut
