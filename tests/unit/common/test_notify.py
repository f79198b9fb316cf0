"""What a service tells whoever started it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from services.common import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_stages_are_told_as_to_systemd(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if abstract and sys.platform != "linux":
        pytest.skip("Linux has them")
    address = f"@heroserve-{tmp_path.name}" if abstract else str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify.stage("loading the model")
        notify.ready()
        notify.stopping()
        told = [listener.recv(200).decode().splitlines() for _ in range(3)]
    assert told == [["STATUS=loading the model"], ["READY=1", "STATUS=ready"], ["STOPPING=1", "STATUS=stopping"]]


@pytest.mark.parametrize("address", [None, "", "/nowhere/s", "/" + "x" * 200])
def test_nobody_listens(address: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.ready()
    notify.stage("on and on")
