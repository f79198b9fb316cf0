"""The checkpoint that the LLM service reads, by its settings. Imported without torch: a bad name is told at once."""

from __future__ import annotations

from services.common.checkpoint import Checkpoint
from services.llm.settings import LlmSettings


def model(settings: LlmSettings) -> Checkpoint:
    return Checkpoint(settings.model, "HEROSERVE_MODEL", settings.revision)


def look(settings: LlmSettings) -> None:
    """What can be told of its name without a hub, and of its config.

    Raises:
        SettingError: it can't be used.
    """
    model(settings).look()
