"""What `make up` says before and beside the services; with them it is in tests/e2e."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.stack import ROOT, Ports, Stack
from scripts.stack.page import page
from scripts.stack.shell import Shell


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEROSERVE_")}
    return subprocess.run(
        [sys.executable, "-m", "scripts.stack", *arguments],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("what", ["up", "demo"])
def test_variables_that_can_not_be_used_stop_it_before_anything_starts(what: str):
    found = command(what, HEROSERVE_GRPC_PORT="9000", HEROSERVE_RETENTON="1")
    assert found.returncode == 1
    assert found.stdout == ""
    lines = found.stderr.splitlines()
    assert lines[0].startswith(f"{what} failed: HEROSERVE_RETENTON is no setting; did you mean HEROSERVE_RETENTION?")
    assert lines[1].startswith("HEROSERVE_GRPC_PORT=9000: ")
    assert len(lines) == 2


def shown(tmp_path: Path, **variables: str) -> list[str]:
    return page(Stack(Ports(llm=5001, encoder_http=5002, redis=5003), tmp_path), Shell.read(variables)).splitlines()


def test_the_first_command_asks_this_stack(tmp_path: Path):
    lines = shown(tmp_path)
    assert lines[0].startswith("llm ")
    assert "gRPC localhost:5001" in lines[0]
    assert "http://localhost:5002/" in lines[1]
    assert lines[2].split() == ["OpenAI", "http://localhost:8001/v1"]
    assert lines[3].split() == ["Playground", "http://localhost:8001/"]
    assert lines[4].split() == ["cache", "redis://127.0.0.1:5003/0"]
    (ask,) = (line for line in lines if line.startswith("try "))
    assert ask.endswith("'what character is on the black star?' --retention 0.2 --target localhost:5001")


def test_what_the_shell_has_set_is_in_what_is_shown(tmp_path: Path):
    lines = shown(
        tmp_path,
        HEROSERVE_MODEL="another",
        HEROSERVE_API_KEYS="s3cr3t",
        HEROSERVE_CACHE_URL="redis://:s3cr3t@host/0",
        HEROSERVE_HTTP_HOST="127.0.0.2",
    )
    text = "\n".join(lines)
    assert "s3cr3t" not in text
    assert "redis://***@host/0 (HEROSERVE_CACHE_URL)" in text
    assert "http://127.0.0.2:5002/" in text
    assert "HEROSERVE_API_KEY=KEY " in text
    assert "black star" not in text
    assert "Playground" in text
    assert "Playground" not in "\n".join(shown(tmp_path, HEROSERVE_PLAYGROUND="off"))


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "told"),
    [
        (["attach"], {}, 2, "attach takes URLs, http://HOST:PORT, and the others take none"),
        (["up", "http://a"], {}, 2, "attach takes URLs"),
        (["attach", "gpu:8000"], {}, 2, "attach failed: URL='gpu:8000': expected http://HOST:PORT"),
        (
            ["attach", "http://a", "http://a/v1"],
            {},
            2,
            "URL='http://a http://a/v1': expected URLs that differ; URL 2 of",
        ),
        (["attach", "http://a,b"], {}, 2, "attach failed: URL='http://a b': expected http://HOST:PORT or https://"),
        (
            ["attach", "http://a"],
            {"HEROSERVE_ENGINE": "transformers"},
            1,
            "attach failed: HEROSERVE_ENGINE='transformers': attach sets it to 'vllm-remote'; unset it",
        ),
        (["attach", "http://a"], {"HEROSERVE_VLLM_URL": "http://b"}, 1, "attach sets it to 'http://a'; unset it"),
    ],
)
def test_what_can_not_be_attached_to_is_told_before_anything_starts(
    arguments: list[str], variables: dict[str, str], status: int, told: str
):
    found = command(*arguments, **variables)
    assert found.returncode == status
    assert found.stdout == ""
    assert told in found.stderr.splitlines()[-1]


def test_where_it_is_attached_is_shown(tmp_path: Path):
    lines = shown(tmp_path, HEROSERVE_ENGINE="vllm-remote", HEROSERVE_VLLM_URL="http://gpu:8000")
    assert ["vLLM", "http://gpu:8000"] in [line.split() for line in lines]
    assert not any(line.startswith("vLLM") for line in shown(tmp_path))


def test_the_command_attaches_from_a_checkout():
    found = subprocess.run(
        [sys.executable, "-m", "heroserve", "attach", "gpu:8000"],
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 2
    assert found.stderr.startswith("attach failed: URL='gpu:8000': expected http://HOST:PORT")


def test_the_command_alone_says_what_it_lacks(tmp_path: Path):
    """The wheel has no services."""
    shutil.copytree(ROOT / "sdk" / "heroserve", tmp_path / "site" / "heroserve")
    found = subprocess.run(
        [sys.executable, "-m", "heroserve", "attach", "http://gpu:8000"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 2
    assert found.stderr == (
        "heroserve: attach: starts services, and this is the client alone; they run from a checkout of heroserve; "
        "run it in one, after `make install`; or `docker compose up --wait` there\n"
    )
