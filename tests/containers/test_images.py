"""What the images are made of."""

from __future__ import annotations

import json

import pytest

from tests.support.compose import inspect, run
from tests.support.manifests import ROOT, SERVICES, dotenv

# Of the official base image 0.13 GB.
_MOST_BYTES = 1.7e9

pytestmark = [pytest.mark.usefixtures("images"), pytest.mark.timeout(3600)]


@pytest.fixture(params=SERVICES)
def image(request: pytest.FixtureRequest) -> str:
    return f"heroserve-{request.param}:{dotenv()['HEROSERVE_VERSION']}"


def inside(image: str, script: str, *options: str) -> str:
    options = ("--rm", "--read-only", "--network", "none", "--entrypoint", "sh", *options)
    return run("podman", "run", *options, image, "-c", script)


def test_small_and_without_cuda(image: str):
    assert inspect(image)["Size"] < _MOST_BYTES
    packages = inside(image, "ls /opt/venv/lib/python3.11/site-packages").lower().split()
    assert "torch" in packages
    assert [name for name in packages if name.startswith(("nvidia", "triton", "cuda"))] == []
    assert inside(image, "python -c 'import torch; print(torch.version.cuda)'").strip() == "None"


def test_most_of_both_is_the_same_layers():
    """All but a few megabytes, of 1.5 GB: our code and what one service's extra brings."""
    version = dotenv()["HEROSERVE_VERSION"]
    names = [f"heroserve-{service}:{version}" for service in SERVICES]
    layers = [inspect(name)["RootFS"]["Layers"] for name in names]
    for name, own in zip(names, layers, strict=True):
        others = len([layer for layer in own if not all(layer in each for each in layers)])
        sizes = [step["size"] for step in json.loads(run("podman", "history", "--format", "json", name))]
        # The newest comes first, and not every instruction makes a layer.
        assert sum([size for size in sizes if size][:others]) < 60e6


def test_each_has_its_own_extra_only():
    version = dotenv()["HEROSERVE_VERSION"]
    for service, ours, others in (("encoder", {"pil", "redis"}, set()), ("llm", {"jinja2"}, {"pil", "redis"})):
        found = set(
            inside(f"heroserve-{service}:{version}", "ls /opt/venv/lib/python3.11/site-packages").lower().split()
        )
        assert ours <= found
        assert not others & found
        assert not {"pytest", "mypy", "ruff"} & found


def test_no_tools_and_no_caches_are_left(image: str):
    assert inside(image, "which gcc cc make g++ || echo none").strip() == "none"
    assert inside(image, "python -m pip --version 2>&1 || true").strip().endswith("No module named pip")
    assert inside(image, "find / -xdev -path '*/.cache/*' -type f | head -3", "--user=0") == ""
    ours = inside(image, "find /opt/heroserve -name Dockerfile -o -name '*.md' | grep -v models || true")
    assert ours == ""


def test_the_command_line_is_there(image: str):
    assert "Usage: heroserve" in inside(image, "heroserve --help")


def test_nobody_is_root(image: str):
    assert inspect(image)["Config"]["User"] == "10001:10001"
    assert inside(image, "id -u").strip() == "10001"
    assert inside(image, "touch /opt/heroserve/x 2>/dev/null || echo refused").strip() == "refused"


def test_the_bundled_model_is_inside(image: str):
    script = "from services.common.settings import BUNDLED_MODEL; print(BUNDLED_MODEL)"
    folder = inside(image, f"python -c '{script}'").strip()
    there = inside(image, f"cd {folder} && find . -type f | sort").split()
    here = ROOT / "models/heroserve-tiny"
    assert there == sorted(f"./{path.relative_to(here)}" for path in here.rglob("*") if path.is_file())


def test_the_playground_is_inside(image: str):
    script = "from services.common import proxy; print(*sorted(proxy._playground()))"
    there = inside(image, f"python -c '{script}'").split()
    here = ROOT / "services/llm/doors/playground"
    files = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
    assert there == sorted({"/", *(f"/playground/{name}" for name in files - {"index.html"})})


def test_a_bad_setting_ends_the_container_with_a_line_that_names_it(image: str):
    service = image.partition(":")[0].removeprefix("heroserve-")
    script = f"HEROSERVE_GRPC_PORT=many python -m services.{service} 2>&1 || echo ended with $?"
    told = inside(image, script).strip().splitlines()
    assert told == [
        "heroserve: HEROSERVE_GRPC_PORT='many': expected a whole number from 1 to 65535",
        "ended with 1",
    ]


def test_it_says_how_to_ask_for_its_health(image: str):
    service = image.partition(":")[0].removeprefix("heroserve-")
    assert inspect(image)["Healthcheck"]["Test"] == ["CMD", "python", "-m", f"services.{service}.health"]
    assert "is starting or stopping" in inside(image, f"python -m services.{service}.health 2>&1 || true")
