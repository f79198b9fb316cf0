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
from services.common.identity import identify
from services.common.settings import SettingError
from services.common.shown import first_line
from services.common.weights.load import BUILDING, META
from services.families.registry import language_half
from services.llm.cost import PromptCost
from services.llm.engines.engine import Engine
from services.llm.engines.remote.urls import VARIABLE
from services.llm.generation import Generation, read_generation, warn_of_what_is_not_served
from services.llm.prompt import PromptBuilder
from services.llm.settings import LlmSettings

# Requests that a replica of the embedded engine works on at once, at most: while some generate, others are encoded.
_ONGOING = 32

logger = logging.getLogger(__name__)


def open_engine(settings: LlmSettings, source: Checkpoint, prompts: PromptBuilder | None = None) -> Engine:
    """Load the language model of a checkpoint, and nothing else of it.

    Args:
        settings: of the service.
        source: the checkpoint.
        prompts: makes the prompts that it will be given, and a server beside is held to; made where none is handed in.

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
        case "vllm-remote":
            from services.llm.engines.remote.open import open_remote
            from services.llm.engines.vllm.drawing import Drawing

            config = half.config
            return open_remote(
                urls=settings.vllm_urls,
                api_key=settings.vllm_api_key,
                timeout_s=settings.vllm_timeout_s,
                slots=settings.vllm_requests,
                prompts=prompts
                or PromptBuilder(
                    source, half.image_token_id, config.vocab_size, settings.chat_template, bounds=half.image_bounds
                ),
                checkpoint=identify(source),
                width=int(config.hidden_size),
                drawing=Drawing.of(generation, config.vocab_size),
                context_length=int(config.max_position_embeddings),
                cost=PromptCost.of(config, half.stored_dtype),
            )


def check_engine(settings: LlmSettings, source: Checkpoint) -> None:
    """What can be told of the engine before it is opened.

    Raises:
        SettingError: it can't generate as the checkpoint says.
    """
    half = language_half(source)
    for variable, value, reader in (
        ("HEROSERVE_VLLM_ARGS", settings.vllm_args, "vllm"),
        ("HEROSERVE_TENSOR_PARALLEL", settings.tensor_parallel > 1, "vllm"),
        (VARIABLE, settings.vllm_urls, "vllm-remote"),
    ):
        if value and settings.engine != reader:
            logger.warning("%s is set, and HEROSERVE_ENGINE=%r does not read it", variable, settings.engine)
    if settings.engine != "transformers" and settings.position_ids == "original":
        raise SettingError(
            "HEROSERVE_POSITION_IDS='original': vLLM numbers tokens one after the other, whatever was dropped; "
            "set it to 'compact', or HEROSERVE_ENGINE to 'transformers'"
        )
    match settings.engine:
        case "transformers":
            pass
        case "vllm-remote":
            from services.llm.export.config import check_exportable

            if not settings.vllm_urls:
                raise SettingError(
                    f"{VARIABLE} is not set: HEROSERVE_ENGINE='vllm-remote' asks the vLLM there, http://HOST:PORT"
                )
            check_exportable(half.config, source)
        case "vllm":
            from services.llm.engines.vllm import installed

            installed.check_installed()
            installed.prepare()
            from services.llm.engines.vllm.arguments import parse
            from services.llm.engines.vllm.kinds import check_kind
            from services.llm.export.config import check_exportable

            device = pick_device(settings.device).type
            installed.check_device(device, settings.device)
            parse(settings.vllm_args)
            check_exportable(half.config, source)
            check_kind(half.config, source, device)
    generation = _check_model(source, loads=settings.engine != "vllm-remote")
    if settings.engine != "transformers":
        from services.llm.engines.vllm.drawing import warn_of_what_is_not_there

        warn_of_what_is_not_there(source, generation)


def ongoing(settings: LlmSettings) -> int:
    """Requests that a replica works on at once, at most.

    Raises:
        SettingError: HEROSERVE_VLLM_ARGS can't be used.
    """
    if settings.max_ongoing_requests or settings.engine == "transformers":
        return settings.max_ongoing_requests or _ONGOING
    if settings.engine == "vllm-remote":
        return 2 * settings.vllm_requests * max(1, len(settings.vllm_urls))
    from services.llm.engines.vllm.usual import slots

    return 2 * slots(settings.vllm_args)


def _check_model(source: Checkpoint, *, loads: bool) -> Generation:
    """That the model can be loaded, and answers drawn as its checkpoint says.

    Args:
        source: the checkpoint.
        loads: it is here that it is loaded, and its weights have to be.

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
    if loads:
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
