"""``python -m services.llm``: the LLM service on this machine."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.common import arguments, node, own_ray, standard_files

if TYPE_CHECKING:
    from ray.serve import Application

# Until it can stop in peace there is nothing to be said of a Ctrl-C.
signal.signal(signal.SIGINT, signal.SIG_DFL)
standard_files.settle()
arguments.take_none("llm")
node.set_environment()
own_ray.close()

from services.llm.settings import LlmSettings  # noqa: E402
from services.llm.sources import look  # noqa: E402


def load() -> Callable[[], Application]:
    """What takes seconds: torch, and all that is built upon it."""
    from services.llm.app import build

    return build


node.main(LlmSettings.from_env, look, load)
