"""The LLM service's parts, made from its settings: nothing below reads them."""

from __future__ import annotations

from services.common import checkpoint as checkpoints
from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.families.registry import language_half
from services.llm.chat import ChatPipeline
from services.llm.encoded import ImageEncoder
from services.llm.encoder_client import EncoderClient
from services.llm.engines.engine import Engine
from services.llm.prompt import PromptBuilder
from services.llm.settings import LlmSettings
from services.llm.splicer import Splicer


def check(settings: LlmSettings) -> None:
    """What can be told before anything is loaded, by a process that serves nothing.

    Raises:
        SettingError: a setting can't be used.
    """
    source = model(settings)
    open_prompts(settings)
    source.check_weights()


def model(settings: LlmSettings) -> Checkpoint:
    return Checkpoint(settings.model, "HEROSERVE_MODEL")


def open_prompts(settings: LlmSettings) -> PromptBuilder:
    source = model(settings)
    return PromptBuilder(source, language_half(source).image_token_id)


def open_splicer(settings: LlmSettings) -> Splicer:
    source = model(settings)
    device = checkpoints.pick_device(settings.device)
    return Splicer(language_half(source), source, device, checkpoints.pick_dtype(settings.dtype, device))


def open_encoder(settings: LlmSettings, splicer: Splicer) -> EncoderClient:
    return EncoderClient(
        settings.encoder_target,
        api_key=settings.encoder_api_key,
        timeout_s=settings.encoder_timeout_s,
        feature_width=splicer.feature_width,
    )


def open_chat(
    settings: LlmSettings, encoder: ImageEncoder, prompts: PromptBuilder, splicer: Splicer, engine: Engine
) -> ChatPipeline:
    """The heart, of parts that are open.

    Raises:
        SettingError: the engine can't do what a setting asks for.
    """
    original = settings.position_ids == "original"
    if original and not engine.takes_position_ids:
        raise SettingError(
            f"HEROSERVE_POSITION_IDS={settings.position_ids!r}: the engine {settings.engine!r} takes no position ids"
        )
    return ChatPipeline(
        encoder=encoder,
        prompts=prompts,
        splicer=splicer,
        splice=language_half(model(settings)).splice,
        engine=engine,
        newlines=settings.newlines,
        original_positions=original,
        max_images=settings.max_images,
        default_max_tokens=settings.default_max_tokens,
    )
