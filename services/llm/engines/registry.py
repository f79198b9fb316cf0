"""Which engine HEROSERVE_ENGINE names.

To add one: a module beside this, its name in ``EngineName`` of the settings, and its cases below.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from huggingface_hub import constants

from services.common.checkpoint import Checkpoint
from services.common.device import pick_device, pick_dtype
from services.common.errors import FailedPrecondition
from services.common.settings import SettingError
from services.common.shown import first_line
from services.common.weights.load import BUILDING, META
from services.families.registry import language_half
from services.llm.cost import PromptCost
from services.llm.engines.engine import Engine
from services.llm.generation import Generation, read_generation, warn_of_what_is_not_served
from services.llm.settings import LlmSettings

# Requests that a replica of the embedded engine works on at once, at most: while some generate, others are encoded.
_ONGOING = 32

logger = logging.getLogger(__name__)


def open_engine(settings: LlmSettings, source: Checkpoint) -> Engine:
    """Load the language model of a checkpoint, and nothing else of it.

    Raises:
        SettingError: the engine can't run it.
    """
    half = language_half(source)
    device = pick_device(settings.device)
    dtype = pick_dtype(settings.dtype, device, lambda: half.stored_dtype)
    generation = read_generation(source, half.config)
    match settings.engine:
        case "transformers":
            # Engines are heavy, and one process has one.
            from services.llm.engines.transformers import TransformersEngine, load_language_model

            model = load_language_model(half, source, device, dtype)
            model.generation_config = generation.config
            return TransformersEngine(model, generation.end_tokens, settings.engine_threads)
        case "vllm":
            from services.llm.engines.vllm import installed

            installed.prepare(max(1, round(settings.replica_cpus)))
            from services.llm.engines.vllm.drawing import Drawing
            from services.llm.engines.vllm.engine import VllmEngine
            from services.llm.engines.vllm.usual import engine_arguments
            from services.llm.export.folder import exported

            folder = exported(half, source, _export_dir(settings))
            arguments = engine_arguments(
                settings.vllm_args, half.config, device.type, dtype, tensor_parallel=settings.tensor_parallel
            )
            drawing = Drawing.of(generation, half.config.vocab_size)
            return VllmEngine(folder, arguments, half.config, dtype, drawing)


def check_engine(settings: LlmSettings, source: Checkpoint) -> None:
    """What can be told of the engine before it is opened.

    Raises:
        SettingError: it can't generate as the checkpoint says.
    """
    half = language_half(source)
    match settings.engine:
        case "transformers":
            for variable, value in (
                ("HEROSERVE_VLLM_ARGS", settings.vllm_args),
                ("HEROSERVE_TENSOR_PARALLEL", settings.tensor_parallel > 1),
            ):
                if value:
                    logger.warning("%s is set, and HEROSERVE_ENGINE='transformers' does not read it", variable)
        case "vllm":
            from services.llm.engines.vllm import installed

            installed.check_installed()
            installed.prepare(1)
            from services.llm.engines.vllm.arguments import parse
            from services.llm.engines.vllm.drawing import warn_of_what_is_not_there
            from services.llm.engines.vllm.kinds import check_kind
            from services.llm.export.config import check_exportable

            if settings.position_ids == "original":
                raise SettingError(
                    "HEROSERVE_POSITION_IDS='original': vLLM numbers tokens one after the other, whatever was dropped; "
                    "set it to 'compact', or HEROSERVE_ENGINE to 'transformers'"
                )
            device = pick_device(settings.device).type
            installed.check_device(device, settings.device)
            parse(settings.vllm_args)
            check_exportable(half.config, source)
            check_kind(half.config, source, device)
    generation = _check_model(source)
    if settings.engine == "vllm":
        warn_of_what_is_not_there(source, generation)


def ongoing(settings: LlmSettings) -> int:
    """Requests that a replica works on at once, at most.

    Raises:
        SettingError: HEROSERVE_VLLM_ARGS can't be used.
    """
    if settings.max_ongoing_requests or settings.engine == "transformers":
        return settings.max_ongoing_requests or _ONGOING
    from services.llm.engines.vllm.usual import slots

    return 2 * slots(settings.vllm_args)


def _check_model(source: Checkpoint) -> Generation:
    """That the model can be loaded, and answers drawn as its checkpoint says.

    Raises:
        SettingError: it can't, or they can't.
    """
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
    return generation


def _export_dir(settings: LlmSettings) -> Path:
    return Path(settings.export_dir or Path(constants.HF_HOME) / "heroserve").expanduser()
