"""The encoder's parts, made from its settings: nothing below reads them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch

from services.common.device import pick_device, pick_dtype
from services.common.identity import identify
from services.common.rows import row_dtype
from services.common.settings import SettingError
from services.common.weights.load import META
from services.encoder.cache.address import AddressError, parse_address
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.near import FRESH_S, NearRows
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.redis import RedisStore
from services.encoder.cache.store import Store, StoreError, StoreUnusable, WritesRefused
from services.encoder.hero import HeroConfig
from services.encoder.identity import SCHEMA, identity
from services.encoder.images.decode import DECODING, ImageLimits
from services.encoder.images.decoders import Decoders
from services.encoder.images.pixels import pixel_table
from services.encoder.relevance.clip import clip_config, clip_tokenizer, learned_temperature
from services.encoder.relevance.preprocessing import tile_filter
from services.encoder.relevance.questions import QuestionEmbedder
from services.encoder.relevance.tiles import check_tile_embedder, open_tile_embedder
from services.encoder.settings import EncoderSettings
from services.encoder.sources import Sources as Sources
from services.encoder.sources import model as model
from services.encoder.sources import relevance_model, settle
from services.encoder.tower import VisionTower
from services.families.registry import vision_half

logger = logging.getLogger(__name__)


def check(settings: EncoderSettings) -> Sources:
    """What can be told before anything is loaded, by a process that serves nothing.

    Returns:
        The checkpoints, settled: for all replicas the same files.

    Raises:
        SettingError: a setting can't be used.
    """
    sources = check_models(settings)
    _run(check_store(settings))
    if settings.cache_url == "memory://" and settings.max_replicas > 1:
        logger.warning("HEROSERVE_CACHE_URL=memory:// is each replica's own; with several of them use redis://")
    return sources


def check_models(settings: EncoderSettings) -> Sources:
    """What can be told of the checkpoints alone. Of a hub's, all that the encoder reads is in its cache afterwards.

    Returns:
        The checkpoints, settled.

    Raises:
        SettingError: one can't be used, or not be had.
    """
    sources = Sources(model(settings), relevance_model(settings))
    source, clip = sources.model, sources.relevance
    half = vision_half(source)
    tiler = half.tiler
    pixel_table(source)
    half.open_tower(META, torch.float32)
    identify(source)
    if clip is not None:
        settle(clip)
        tile_filter(clip, tiler.tile_size, clip_config(clip).vision_config.image_size)
        pixel_table(clip)
        clip_tokenizer(clip)
        check_tile_embedder(clip)
        QuestionEmbedder(clip, META)
        learned_temperature(clip)
    return sources


def _run(work: Coroutine[Any, Any, None]) -> None:
    """To its end, whether or not this thread has an event loop that runs."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def open_tower(settings: EncoderSettings, sources: Sources | None = None) -> VisionTower:
    """Load the tower, and the relevance model's where it is another.

    Args:
        settings: of the service.
        sources: what ``check`` returned; made from the settings where nobody has checked them.

    Raises:
        SettingError: one of them can't be used.
    """
    sources = sources or Sources(model(settings), relevance_model(settings))
    source, relevance = sources.model, sources.relevance
    half = vision_half(source)
    device = pick_device(settings.device)
    dtype = pick_dtype(settings.dtype, device, lambda: half.stored_dtype, tower_width=half.width)
    hero = hero_config(settings, half.layers, sources)
    rows = "int8" if settings.row_dtype == "int8" else row_dtype(dtype)
    tower = half.open_tower(device, dtype)
    pixels = pixel_table(source)
    embedder, embedder_id = None, ""
    if relevance is not None:
        embedder, embedder_id = open_tile_embedder(relevance, tower.clip, pixels, half.tiler.tile_size, device, dtype)
    encoder_id = identity(
        {
            "schema": SCHEMA,
            "decoding": DECODING,
            **tower.identity,
            "relevance": embedder_id,
            "tiler": half.tiler.identity,
            "pixels": pixels.tolist(),
            "ranking": [hero.low_layers, hero.high_layers, hero.softmax_again, hero.order, hero.quality_floor],
            "dtype": [str(dtype), rows],
        }
    )
    return VisionTower(
        tower=tower,
        pixels=pixels,
        relevance=embedder,
        hero=hero,
        row_dtype=rows,
        device=device,
        dtype=dtype,
        max_tiles=half.tiler.max_tiles,
        encoder_id=encoder_id,
    )


def hero_config(settings: EncoderSettings, layers: int, sources: Sources | None = None) -> HeroConfig:
    """The HERO config a service with these settings runs on a tower of ``layers`` blocks.

    The default takes T_clip from the relevance model; OpenAI's have learnt the very 0.01 that ``HeroConfig`` names.
    """
    if settings.hero == "reference":
        return HeroConfig.reference().for_depth(layers)
    config = (HeroConfig.paper() if settings.hero == "paper" else HeroConfig()).for_depth(layers)
    relevance = sources.relevance if sources else relevance_model(settings)
    if relevance is None:
        return config
    return replace(config, relevance_temperature=learned_temperature(relevance))


def open_embedder(settings: EncoderSettings, sources: Sources | None = None) -> QuestionEmbedder | None:
    """What embeds questions; None where relevance is switched off."""
    relevance = sources.relevance if sources else relevance_model(settings)
    return None if relevance is None else QuestionEmbedder(relevance)


def open_decoders(settings: EncoderSettings) -> Decoders:
    """What decodes pictures; its processes are started by ``start``, or when they are needed."""
    return Decoders(
        ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
        workers=settings.decode_workers,
        timeout_s=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
    )


def open_store(settings: EncoderSettings) -> Store:
    """The store that HEROSERVE_CACHE_URL names.

    Raises:
        SettingError: it names none.
    """
    if settings.cache_url == "memory://":
        return MemoryStore(settings.cache_memory_bytes, settings.cache_ttl_s)
    try:
        address = parse_address(
            settings.cache_url, settings.cache_username, settings.cache_password, settings.cache_sentinel_password
        )
    except AddressError as error:
        raise SettingError(f"HEROSERVE_CACHE_URL: {error}") from None
    return RedisStore(address, settings.cache_ttl_s, settings.cache_timeout_s)


def open_cache(settings: EncoderSettings, encoder_id: str) -> RankOnceCache:
    """Ranked rows in that store, and those that a replica has at hand.

    Raises:
        SettingError: as ``open_store``.
    """
    # What is in this process's memory already is as near as it gets.
    near = 0 if settings.cache_url == "memory://" else settings.cache_near_bytes
    fresh_s = min(FRESH_S, settings.cache_ttl_s)
    return RankOnceCache(open_store(settings), encoder_id, key=settings.cache_key, near=NearRows(near, fresh_s))


async def check_store(settings: EncoderSettings) -> None:
    """Whether that store can be used; one that is merely away is a warning, for it may come back.

    Raises:
        SettingError: what can't heal by itself.
    """
    store = open_store(settings)
    try:
        await store.check()
    except StoreUnusable as error:
        raise SettingError(f"HEROSERVE_CACHE_URL: {error}") from None
    except WritesRefused as error:
        logger.warning("HEROSERVE_CACHE_URL: Redis is read, but takes no writes just now: %s", error)
    except StoreError as error:
        logger.warning("HEROSERVE_CACHE_URL: Redis does not answer just now, going on without it: %s", error)
    finally:
        await store.close()
