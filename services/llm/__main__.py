"""``python -m services.llm``: the LLM service on this machine."""

from __future__ import annotations

from services.common import arguments, node, own_ray, standard_files

standard_files.settle()
arguments.take_none("llm")
node.set_environment()
own_ray.close()

from services.llm.app import build  # noqa: E402
from services.llm.settings import LlmSettings  # noqa: E402

node.main(LlmSettings.from_env, build)
