"""The LLM service's settings."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.settings import Settings, choice, integer, real, setting, text


@dataclass(frozen=True)
class LlmSettings(Settings):
    """See the table in README.md for what each variable means."""

    name = "llm"

    grpc_port: int = setting("HEROSERVE_GRPC_PORT", integer(1, 65535), 9001)
    http_port: int = setting("HEROSERVE_HTTP_PORT", integer(1, 65535), 8001)
    metrics_port: int = setting("HEROSERVE_METRICS_PORT", integer(1, 65535), 9101)
    ray_metrics_port: int = setting("HEROSERVE_RAY_METRICS_PORT", integer(1, 65535), 9103)
    encoder_target: str = setting("HEROSERVE_ENCODER_TARGET", text, "localhost:9000")
    encoder_api_key: str = setting("HEROSERVE_ENCODER_API_KEY", text, "", secret=True)
    encoder_timeout_s: float = setting("HEROSERVE_ENCODER_TIMEOUT_S", real(0, 3600, above=True), 120.0)
    engine: str = setting("HEROSERVE_ENGINE", choice("transformers"), "transformers")
    engine_threads: int = setting("HEROSERVE_ENGINE_THREADS", integer(1, 256), 4)
    newlines: str = setting("HEROSERVE_NEWLINES", choice("every_row", "kept_rows"), "kept_rows")
    position_ids: str = setting("HEROSERVE_POSITION_IDS", choice("compact", "original"), "compact")
    max_images: int = setting("HEROSERVE_MAX_IMAGES", integer(1, 64), 1)
    default_max_tokens: int = setting("HEROSERVE_DEFAULT_MAX_TOKENS", integer(1, 1 << 20), 256)
