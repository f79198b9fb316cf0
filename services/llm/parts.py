"""The LLM service's parts, made from its settings: nothing below reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from services.common.checkpoint import Checkpoint
from services.common.device import pick_device, pick_dtype
from services.common.identity import identify
from services.common.settings import SettingError
from services.common.weights.load import META
from services.families.registry import language_half
from services.llm.chat import ChatPipeline
from services.llm.encoded import ImageEncoder
from services.llm.encoder_client import EncoderClient
from services.llm.engines.engine import Engine
from services.llm.engines.registry import check_engine
from services.llm.engines.remote.messages import RESERVED
from services.llm.language_model import check_language_model
from services.llm.layout import LAYOUTS
from services.llm.prompt import PromptBuilder
from services.llm.rehearsal import rehearse
from services.llm.settings import LlmSettings
from services.llm.sources import model as model
from services.llm.splicer import Splicer
from services.llm.template import chat_template
from services.llm.web.fetcher import ImageFetcher
from services.llm.web.hosts import Hosts
from services.llm.web.networks import Networks
from services.llm.web.reachable import check_reachable


def check(settings: LlmSettings, source: Checkpoint | None = None) -> None:
    """What can be told before anything is loaded, by a process that serves nothing.

    Args:
        settings: of the service.
        source: the model, here and below; made from the settings where it is not handed in.

    Raises:
        SettingError: a setting can't be used.
    """
    check_reachable(settings.image_hosts, settings.image_networks)
    source = source or model(settings)
    half = language_half(source)
    check_language_model(half.config, source)
    tokenizer = source.tokenizer()
    template = chat_template(source, tokenizer, settings.chat_template)
    rehearse(source, tokenizer, template, half.image_token_id, chosen=settings.chat_template)
    prompts = open_prompts(settings, source)
    if settings.max_images > 1 and not prompts.places_images:
        raise SettingError(
            f"HEROSERVE_MAX_IMAGES={settings.max_images}: the model's chat template has no place for a second image"
        )
    check_engine(settings, source)
    Splicer(half, META, torch.float32)
    identify(source)


def settled(settings: LlmSettings, source: Checkpoint | None = None) -> LlmSettings:
    """With the chat template's text in the place of its file, which other nodes may not have.

    Raises:
        SettingError: there is no such file.
    """
    if not settings.chat_template:
        return settings
    source = source or model(settings)
    return replace(settings, chat_template=chat_template(source, source.tokenizer(), settings.chat_template))


def width(source: Checkpoint) -> int:
    """Of the language model's hidden states, in values."""
    return int(language_half(source).config.hidden_size)


def model_name(settings: LlmSettings) -> str:
    """What OpenAI's clients call the model: a folder's name is its last one, a hub's is whole."""
    folder = Path(settings.model)
    return folder.resolve().name if folder.is_dir() else settings.model


def open_prompts(settings: LlmSettings, source: Checkpoint | None = None) -> PromptBuilder:
    source = source or model(settings)
    half = language_half(source)
    return PromptBuilder(
        source,
        half.image_token_id,
        half.config.vocab_size,
        settings.chat_template,
        bounds=half.image_bounds,
        read_elsewhere=RESERVED if settings.engine == "vllm-remote" else None,
    )


def open_splicer(settings: LlmSettings, source: Checkpoint | None = None) -> Splicer:
    source = source or model(settings)
    half = language_half(source)
    device = pick_device(settings.device)
    return Splicer(half, device, pick_dtype(settings.dtype, device, lambda: half.stored_dtype))


def open_encoder(settings: LlmSettings, splicer: Splicer, checkpoint: str) -> EncoderClient:
    return EncoderClient(
        settings.encoder_target,
        api_key=settings.encoder_api_key,
        timeout_s=settings.encoder_timeout_s,
        feature_width=splicer.feature_width,
        model=settings.model,
        checkpoint=checkpoint,
        with_base=settings.layout == "base_first",
        rows=None if settings.encoder_rows == "native" else settings.encoder_rows,
    )


def open_fetcher(settings: LlmSettings) -> ImageFetcher:
    return ImageFetcher(
        Hosts(settings.image_hosts),
        Networks(settings.image_networks),
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.image_timeout_s,
    )


def open_chat(
    settings: LlmSettings,
    encoder: ImageEncoder,
    prompts: PromptBuilder,
    splicer: Splicer,
    engine: Engine,
    source: Checkpoint | None = None,
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
    if original and settings.layout == "base_first":
        raise SettingError(
            "HEROSERVE_LAYOUT='base_first': an image is read in two parts, for which HEROSERVE_POSITION_IDS='original' "
            "has no numbers"
        )
    return ChatPipeline(
        encoder=encoder,
        prompts=prompts,
        splicer=splicer,
        splice=language_half(source or model(settings)).splice,
        engine=engine,
        newlines=settings.newlines,
        layout=LAYOUTS[settings.layout],
        original_positions=original,
        max_images=settings.max_images,
        default_max_tokens=settings.default_max_tokens,
    )
