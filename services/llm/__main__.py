"""``python -m services.llm``: the LLM service on this machine."""

from __future__ import annotations

import signal

from services.common import arguments, node, own_ray, standard_files

# Until it can stop in peace there is nothing to be said of a Ctrl-C.
signal.signal(signal.SIGINT, signal.SIG_DFL)
standard_files.settle()
arguments.take_none("llm")
node.set_environment()
own_ray.close()

from services.llm.app import build  # noqa: E402
from services.llm.settings import LlmSettings  # noqa: E402

node.main(LlmSettings.from_env, build)
