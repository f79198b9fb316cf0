"""The LLM service, with an engine that takes no time."""

from __future__ import annotations

from typing import Any

from benchmarks.instant import Instant
from services.llm import app
from services.llm.app import ChatDeployment
from services.llm.settings import LlmSettings


class InstantChat(ChatDeployment):
    """As ``ChatDeployment``."""

    async def open(self, settings: LlmSettings, *others: Any) -> None:
        vars(app)["open_engine"] = lambda *_: Instant()
        await super().open(settings, *others)
