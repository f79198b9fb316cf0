"""Settings from HEROSERVE_* environment variables, into one frozen dataclass a service."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

BUNDLED_MODEL = str(Path(__file__).resolve().parents[2] / "models" / "heroserve-tiny")

Parser = Callable[[str], Any]
T = TypeVar("T", bound="Settings")


class SettingError(ValueError):
    """A setting can't be used; the message names its environment variable."""


def setting(variable: str, parse: Parser, default: Any, *, secret: bool = False) -> Any:
    """A dataclass field read from ``variable``; ``parse`` raises ValueError with what is expected.

    A ``secret`` stays out of the settings' repr, and so out of logs.
    """
    return field(default=default, repr=not secret, metadata={"variable": variable, "parse": parse})


def text(value: str) -> str:
    return value.strip()


def integer(low: int, high: int) -> Parser:
    """A whole number in [low, high]."""

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return number

    return parse


def real(low: float, high: float, *, above: bool = False) -> Parser:
    """A number in [low, high], or in (low, high] with ``above``."""

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number) or not low <= number <= high or (above and number == low):
            raise ValueError(f"expected a number in {'(' if above else '['}{low:g}, {high:g}]")
        return number

    return parse


def choice(*options: str) -> Parser:
    def parse(value: str) -> str:
        if value.strip() not in options:
            raise ValueError(f"expected one of {', '.join(options)}")
        return value.strip()

    return parse


def words(value: str) -> tuple[str, ...]:
    """Comma-separated words, blanks dropped."""
    return tuple(word.strip() for word in value.split(",") if word.strip())


port = integer(1, 65535)


@dataclass(frozen=True)
class Settings:
    """What both services read. ``name`` is the Ray Serve application's."""

    name = ""

    model: str = setting("HEROSERVE_MODEL", text, BUNDLED_MODEL)
    dtype: str = setting("HEROSERVE_DTYPE", choice("auto", "float32", "float16", "bfloat16"), "auto")
    device: str = setting("HEROSERVE_DEVICE", choice("auto", "cpu", "cuda"), "auto")
    host: str = setting("HEROSERVE_HTTP_HOST", text, "0.0.0.0")
    grpc_port: int = setting("HEROSERVE_GRPC_PORT", port, 0)
    http_port: int = setting("HEROSERVE_HTTP_PORT", port, 0)
    metrics_port: int = setting("HEROSERVE_METRICS_PORT", port, 0)
    ray_metrics_port: int = setting("HEROSERVE_RAY_METRICS_PORT", port, 0)
    metrics_dir: str = setting("HEROSERVE_METRICS_DIR", text, "")
    api_keys: tuple[str, ...] = setting("HEROSERVE_API_KEYS", words, (), secret=True)
    request_timeout_s: float = setting("HEROSERVE_REQUEST_TIMEOUT_S", real(0, 3600, above=True), 300.0)
    min_replicas: int = setting("HEROSERVE_MIN_REPLICAS", integer(1, 1000), 1)
    max_replicas: int = setting("HEROSERVE_MAX_REPLICAS", integer(1, 1000), 1)
    upscale_delay_s: float = setting("HEROSERVE_UPSCALE_DELAY_S", real(0, 86400), 30.0)
    downscale_delay_s: float = setting("HEROSERVE_DOWNSCALE_DELAY_S", real(0, 86400), 600.0)
    max_ongoing_requests: int = setting("HEROSERVE_MAX_ONGOING_REQUESTS", integer(1, 10_000), 32)
    max_queued_requests: int = setting("HEROSERVE_MAX_QUEUED_REQUESTS", integer(1, 100_000), 256)
    replica_cpus: float = setting("HEROSERVE_REPLICA_CPUS", real(0, 1024, above=True), 1.0)
    replica_gpus: float = setting("HEROSERVE_REPLICA_GPUS", real(0, 64, above=True), 1.0)
    log_level: str = setting("HEROSERVE_LOG_LEVEL", choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")

    def __post_init__(self) -> None:
        if self.max_replicas < self.min_replicas:
            raise SettingError(
                f"HEROSERVE_MAX_REPLICAS={self.max_replicas} is below HEROSERVE_MIN_REPLICAS={self.min_replicas}"
            )
        if not self.metrics_dir:
            # Shared by a service's processes on one node, told apart by the port they answer on.
            folder = Path(tempfile.gettempdir()) / f"heroserve-{os.getuid()}-{self.name}-{self.metrics_port}"
            object.__setattr__(self, "metrics_dir", str(folder))

    @property
    def reachable_host(self) -> str:
        """By which this machine reaches the HTTP port."""
        return "localhost" if self.host in ("0.0.0.0", "::") else self.host

    @classmethod
    def from_env(cls: type[T], environ: Mapping[str, str] = os.environ) -> T:
        """Read every field's variable; unset or blank means the default.

        Raises:
            SettingError: a value does not parse; names the variable, the value and what is expected.
        """
        values: dict[str, Any] = {}
        for item in dataclasses.fields(cls):
            variable = item.metadata["variable"]
            raw = environ.get(variable, "")
            if not raw.strip():
                continue
            try:
                values[item.name] = item.metadata["parse"](raw)
            except ValueError as error:
                raise SettingError(f"{variable}={raw!r}: {error}") from error
        return cls(**values)
