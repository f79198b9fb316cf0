"""Which engine HEROSERVE_ENGINE names.

To add one: a module beside this, its name in ``EngineName`` of the settings, and a case below.
"""

from __future__ import annotations

import torch

from services.common.checkpoint import Checkpoint
from services.common.device import pick_device, pick_dtype
from services.common.errors import FailedPrecondition
from services.common.shown import first_line
from services.common.weights.load import BUILDING, META
from services.families.registry import language_half
from services.llm.cost import PromptCost
from services.llm.engines.engine import Engine
from services.llm.generation import read_generation, warn_of_what_is_not_served
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
            device = pick_device(settings.device)
            generation = read_generation(source, half.config)
            dtype = pick_dtype(settings.dtype, device, lambda: half.stored_dtype)
            model = load_language_model(half, source, device, dtype)
            model.generation_config = generation.config
            return TransformersEngine(model, generation.end_tokens, settings.engine_threads)


def check_engine(settings: LlmSettings, source: Checkpoint) -> None:
    """What can be told of the engine before it is opened.

    Raises:
        SettingError: it can't generate as the checkpoint says.
    """
    match settings.engine:
        case "transformers":
            from services.llm.engines.sampler import LogitsProcessors
            from services.llm.engines.transformers import load_language_model

            half = language_half(source)
            config = half.config
            try:
                int(config.max_position_embeddings)
                PromptCost.of(config, torch.float32)
            except BUILDING as error:
                raise source.unusable(f"its text_config can't be read ({first_line(error)})") from error
            load_language_model(half, source, META, torch.float32)
            generation = read_generation(source, config)
            warn_of_what_is_not_served(source, generation, config.vocab_size)
            try:
                LogitsProcessors(config, generation.config, generation.end_tokens).rehearse()
            except FailedPrecondition as error:
                raise source.unusable(error.message) from error
            except BUILDING as error:
                raise source.unusable(f"its generation_config.json can't be used ({first_line(error)})") from error
