"""The encoder service's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.common.settings import Settings, choice, integer, real, setting, text


@dataclass(frozen=True)
class EncoderSettings(Settings):
    """See the table in README.md for what each variable means."""

    name = "encoder"

    grpc_port: int = setting("HEROSERVE_GRPC_PORT", integer(1, 65535), 9000)
    http_port: int = setting("HEROSERVE_HTTP_PORT", integer(1, 65535), 8000)
    metrics_port: int = setting("HEROSERVE_METRICS_PORT", integer(1, 65535), 9100)
    ray_metrics_port: int = setting("HEROSERVE_RAY_METRICS_PORT", integer(1, 65535), 9102)
    relevance_model: str = setting("HEROSERVE_RELEVANCE_MODEL", text, "")
    cache_url: str = setting("HEROSERVE_CACHE_URL", text, "memory://", secret=True)
    cache_ttl_s: int = setting("HEROSERVE_CACHE_TTL_S", integer(1, 365 * 86400), 86400)
    cache_timeout_s: float = setting("HEROSERVE_CACHE_TIMEOUT_S", real(0, 60, above=True), 1.0)
    cache_memory_bytes: int = setting("HEROSERVE_CACHE_MEMORY_BYTES", integer(1 << 20, 1 << 40), 1 << 30)
    cache_depth: float = setting("HEROSERVE_CACHE_DEPTH", real(0, 1, above=True), 1.0)
    row_dtype: str = setting("HEROSERVE_ROW_DTYPE", choice("native", "int8"), "native")
    retention: float = setting("HEROSERVE_RETENTION", real(0, 1, above=True), 0.2)
    hero: str = setting("HEROSERVE_HERO", choice("default", "reference"), "default")
    max_image_bytes: int = setting("HEROSERVE_MAX_IMAGE_BYTES", integer(1, 60 << 20), 20 << 20)
    max_image_pixels: int = setting("HEROSERVE_MAX_IMAGE_PIXELS", integer(1, 1 << 30), 50_000_000)
    max_batch_tiles: int = setting("HEROSERVE_MAX_BATCH_TILES", integer(1, 4096), 32)
    batch_wait_s: float = setting("HEROSERVE_BATCH_WAIT_S", real(0, 10), 0.005)

    @property
    def relevance(self) -> str | None:
        """The CLIP checkpoint that compares tiles with questions; None if relevance is switched off.

        Unset: a ``clip`` folder in the model's, else the smallest original CLIP, which costs about 1%.
        """
        if self.relevance_model == "none":
            return None
        if self.relevance_model:
            return self.relevance_model
        own = Path(self.model) / "clip"
        return str(own) if own.is_dir() else "openai/clip-vit-base-patch32"
