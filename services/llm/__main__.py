"""``python -m services.llm``: the LLM service on this machine."""

from __future__ import annotations

import signal
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


def build(share: float) -> Application:
    """In a thread: torch, and all that is built upon it, takes seconds to import."""
    from services.llm.app import build

    return build(share=share)


node.main(LlmSettings.from_env, look, build)
