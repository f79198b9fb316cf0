"""Which engine HEROSERVE_ENGINE names.

To add one: a module beside this, its name in ``EngineName`` of the settings, and a case below.
"""

from __future__ import annotations

from services.common import checkpoint as checkpoints
from services.common.checkpoint import Checkpoint
from services.families.registry import language_half
from services.llm.end_tokens import end_tokens
from services.llm.engines.engine import Engine
from services.llm.settings import LlmSettings


def open_engine(settings: LlmSettings, source: Checkpoint) -> Engine:
    """Load the language model of a checkpoint, and nothing else of it.

    Raises:
        SettingError: the engine can't run it.
    """
    match settings.engine:
        case "transformers":
            # Engines are heavy, and one process has one.
            from services.llm.engines.transformers import TransformersEngine, load_language_model

            half = language_half(source)
            device = checkpoints.pick_device(settings.device)
            model = load_language_model(half, source, device, checkpoints.pick_dtype(settings.dtype, device))
            return TransformersEngine(model, end_tokens(source, half.config), settings.engine_threads)
