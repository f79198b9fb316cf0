"""docker-compose.yml with passwords that everybody knows: for this machine alone."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.manifests import ROOT, Object, composition

GUARD = ROOT / "deploy/compose/guard.sh"
KNOWN = "change-me"


def guard(address: str, redis: str, grafana: str) -> list[str]:
    """With a command that tells that it was run."""
    return ["sh", str(GUARD), address, redis, grafana, "echo", "came up", "as told"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_the_demo_comes_up(address: str) -> None:
    told = subprocess.run(guard(address, KNOWN, KNOWN), capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout, told.stderr) == (0, "came up as told\n", "")


def test_with_passwords_of_ones_own_it_comes_up_anywhere() -> None:
    told = subprocess.run(guard("0.0.0.0", "a", "b c"), capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout, told.stderr) == (0, "came up as told\n", "")


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.7", "::", "example.com"])
@pytest.mark.parametrize(
    ("redis", "grafana", "named"),
    [
        (KNOWN, "b", "REDIS_PASSWORD"),
        ("a", KNOWN, "GRAFANA_PASSWORD"),
        (KNOWN, KNOWN, "REDIS_PASSWORD GRAFANA_PASSWORD"),
    ],
)
def test_nothing_comes_up_where_others_get_in(address: str, redis: str, grafana: str, named: str) -> None:
    """It says what to set, waits, and goes when it is told to."""
    with subprocess.Popen(guard(address, redis, grafana), stderr=subprocess.PIPE, stdout=subprocess.PIPE) as refused:
        assert refused.stderr is not None
        assert refused.stdout is not None
        line = refused.stderr.readline().decode()
        assert f"BIND_ADDRESS={address} " in line
        assert f"set {named} (" in line
        assert refused.poll() is None
        refused.terminate()
        assert refused.wait(60) == 1
        assert refused.stdout.read() == b""


def test_whatever_has_a_door_or_asks_for_a_password_is_guarded() -> None:
    """Of the exporter's image nothing but the exporter is known."""
    for name, service in composition(BIND_ADDRESS="0.0.0.0", REDIS_PASSWORD="a", GRAFANA_PASSWORD="b").items():
        if name == "redis-exporter":
            assert "ports" not in service
            continue
        assert service["entrypoint"] == ["sh", "/guard.sh", "0.0.0.0", "a", "b"]
        assert f"./{GUARD.relative_to(ROOT)}:/guard.sh:ro" in _mounts(service)
        # An entrypoint of one's own takes the image's command away.
        assert service["command"]


def test_it_is_the_demo_unless_told_otherwise() -> None:
    for shell in ({}, {"BIND_ADDRESS": ""}):
        assert composition(**shell)["llm"]["entrypoint"] == ["sh", "/guard.sh", "127.0.0.1", KNOWN, KNOWN]


def _mounts(service: Object) -> list[str]:
    mounts: list[str] = service["volumes"]
    return mounts
