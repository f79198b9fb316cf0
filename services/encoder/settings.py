"""The encoder service's settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.common.settings import Settings, own
from services.common.variable import choice, integer, real, secret, setting, text, whole_line

Rows = Literal["native", "int8"]
Hero = Literal["default", "paper", "reference"]
CacheScope = Literal["key", "shared"]


@dataclass(frozen=True)
class EncoderSettings(Settings):
    """What the encoder reads; ``words`` say what each is, in README's table too."""

    name = "encoder"

    grpc_port: int = own("grpc_port", 9000)
    http_port: int = own("http_port", 8000)
    metrics_port: int = own("metrics_port", 9100)
    ray_metrics_port: int = own("ray_metrics_port", 9102)
    row_dtype: Rows = setting(
        "HEROSERVE_ROW_DTYPE",
        choice(Rows),
        "native",
        "rows stored and sent in the tower's dtype, or in a byte a value with a scale a row: smaller, no longer exact",
    )
    retention: float = setting(
        "HEROSERVE_RETENTION",
        real(0, 1, above=True),
        0.2,
        "share of visual tokens kept when a request names no budget",
    )
    relevance_model: str = setting(
        "HEROSERVE_RELEVANCE_MODEL",
        text,
        "",
        "CLIP checkpoint that compares tiles with questions, hub id or folder, or `none`",
        shown="the model's `clip` folder, else `openai/clip-vit-base-patch32`",
    )
    relevance_revision: str = setting(
        "HEROSERVE_RELEVANCE_REVISION",
        text,
        "",
        "branch, tag or commit of `HEROSERVE_RELEVANCE_MODEL`, where that is a hub id",
        shown="its default branch",
    )
    hero: Hero = setting(
        "HEROSERVE_HERO",
        choice(Hero),
        "default",
        "our rules, these with the paper's order (by score alone), or those of the authors' code, habits included",
    )
    cache_url: str = setting(
        "HEROSERVE_CACHE_URL",
        text,
        "memory://",
        "for more than one replica: `redis://`, `redis+cluster://`, `redis+sentinel://` (`rediss` for TLS) or "
        "`unix://`, see [Redis](docs/operations.md#redis)",
        secret=True,
    )
    cache_username: str = setting("HEROSERVE_CACHE_USERNAME", text, "", "Redis's user, in place of one in the URL")
    cache_password: str = setting(
        "HEROSERVE_CACHE_PASSWORD",
        whole_line,
        "",
        "Redis's password, in place of one in the URL; any characters, none encoded",
        secret=True,
    )
    cache_sentinel_password: str = setting(
        "HEROSERVE_CACHE_SENTINEL_PASSWORD", whole_line, "", "of the Sentinels themselves", secret=True
    )
    cache_key: str = setting(
        "HEROSERVE_CACHE_KEY",
        secret(16),
        "",
        "what entries are sealed with, the same for all replicas, 16 characters or more: without one, who may write to "
        "Redis can forge them",
        shown="derived",
        secret=True,
    )
    cache_scope: CacheScope = setting(
        "HEROSERVE_CACHE_SCOPE",
        choice(CacheScope),
        "key",
        "who finds an image in the cache: callers with the key that it came with, or all callers",
    )
    cache_ttl_s: int = setting(
        "HEROSERVE_CACHE_TTL_S", integer(1, 365 * 86400), 86400, "age at which an entry goes, in seconds"
    )
    cache_timeout_s: float = setting(
        "HEROSERVE_CACHE_TIMEOUT_S",
        real(0, 60, above=True),
        1.0,
        "longest Redis may take before a request goes on without it, in seconds",
    )
    cache_memory_bytes: int = setting(
        "HEROSERVE_CACHE_MEMORY_BYTES", integer(1 << 20, 1 << 40), 1 << 30, "bound of `memory://`"
    )
    cache_near_bytes: int = setting(
        "HEROSERVE_CACHE_NEAR_BYTES",
        integer(0, 1 << 40),
        128 << 20,
        "rows read of Redis that each replica of the ingress has at hand for a minute; with `memory://` all are",
    )
    cache_depth: float = setting(
        "HEROSERVE_CACHE_DEPTH",
        real(0, 1, above=True),
        1.0,
        "best share of each tile that is cached; a request that needs more encodes again",
    )
    max_image_pixels: int = setting("HEROSERVE_MAX_IMAGE_PIXELS", integer(1, 1 << 30), 50_000_000, "of a decoded image")
    decode_workers: int = setting(
        "HEROSERVE_DECODE_WORKERS",
        integer(1, 64),
        2,
        "processes that decode pictures, in each replica of the ingress: so many at once",
    )
    decode_timeout_s: float = setting(
        "HEROSERVE_DECODE_TIMEOUT_S",
        real(0.1, 3600),
        10.0,
        "longest a picture may take to decode, in seconds; then its process is killed, and the picture refused",
    )
    decode_memory_bytes: int = setting(
        "HEROSERVE_DECODE_MEMORY_BYTES",
        integer(128 << 20, 1 << 40),
        1 << 30,
        "of one such process while it decodes; a picture that needs more is refused",
    )
    max_queued_misses: int = setting(
        "HEROSERVE_MAX_QUEUED_MISSES",
        integer(1, 100_000),
        64,
        "new pictures that a replica of the ingress has in work or waiting; more are refused with `RESOURCE_EXHAUSTED`",
    )
    max_queued_miss_bytes: int = setting(
        "HEROSERVE_MAX_QUEUED_MISS_BYTES",
        integer(1 << 20, 1 << 40),
        256 << 20,
        "of their files; one alone is always taken",
    )
    max_batch_tiles: int = setting("HEROSERVE_MAX_BATCH_TILES", integer(1, 4096), 32, "tiles in one pass of the tower")
    target_tiles: int = setting(
        "HEROSERVE_TARGET_TILES",
        integer(0, 1_000_000),
        0,
        "tiles a tower may have, waiting and in its pass, before autoscaling adds another",
        shown="`HEROSERVE_MAX_BATCH_TILES`: one pass",
    )
    batch_wait_s: float = setting(
        "HEROSERVE_BATCH_WAIT_S", real(0, 10), 0.005, "how long the tower waits for company, in seconds"
    )

    @property
    def ingress_cpus(self) -> float:
        """It decodes and slices; the tower does the arithmetic."""
        return 0.5

    @property
    def relevance(self) -> str | None:
        """The CLIP checkpoint that compares tiles with questions; None if relevance is switched off.

        Unset: a ``clip`` folder in the model's, else the smallest original CLIP, which costs about 1%.
        """
        if self.relevance_model == "none":
            return None
        if self.relevance_model:
            return self.relevance_model
        own_clip = Path(self.model) / "clip"
        # Unlike the path's own, it raises nothing: what can't be looked at is the model, and told of that.
        return str(own_clip) if os.path.isdir(own_clip) else "openai/clip-vit-base-patch32"
