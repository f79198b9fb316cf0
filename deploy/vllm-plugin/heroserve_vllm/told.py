"""A route by which a server says that it is mended. vLLM adds it where VLLM_PLUGINS names this plugin."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fastapi import FastAPI

PATH = "/heroserve/image_embeds"


class Told:
    """An endpoint plugin of vLLM's."""

    name = "heroserve"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        @app.get(PATH)
        def told() -> dict[str, bool]:
            """Of this process; the engine's has loaded the same plugin."""
            from vllm.model_executor.models.llava_next import LlavaNextImageEmbeddingInputs

            from heroserve_vllm.mend import takes_any_length

            return {"any_length": takes_any_length(LlavaNextImageEmbeddingInputs)}

    async def init_state(self, engine_client: Any, state: Any, args: Namespace) -> None:
        """Nothing is kept."""
