"""Settings from HEROSERVE_* environment variables, into one frozen dataclass a service."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from services.common import api_keys, quotas
from services.common.shown import assigned
from services.common.variable import choice, integer, port, real, setting, text

BUNDLED_MODEL = str(Path(__file__).resolve().parents[2] / "models" / "heroserve-tiny")

REPLICA_CPUS = "HEROSERVE_REPLICA_CPUS"

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LogFormat = Literal["auto", "json", "text"]

T = TypeVar("T", bound="Settings")


class SettingError(ValueError):
    """A setting can't be used; the message names its environment variable.

    Where ValueErrors of libraries are caught, nothing that raises this may be tried with them: it would be told twice.
    """


@dataclass(frozen=True)
class Settings:
    """What both services read, in the order of README's table. ``name`` is the Ray Serve application's."""

    name = ""

    model: str = setting(
        "HEROSERVE_MODEL",
        text,
        BUNDLED_MODEL,
        "LLaVA-NeXT or InternVL checkpoint, hub id or folder",
        shown="the bundled model",
    )
    revision: str = setting(
        "HEROSERVE_REVISION",
        text,
        "",
        "branch, tag or commit of `HEROSERVE_MODEL`, where that is a hub id",
        shown="its default branch",
    )
    device: Device = setting(
        "HEROSERVE_DEVICE", choice(Device), "auto", "what the model runs on; `auto` is a GPU where there is one"
    )
    dtype: Dtype = setting(
        "HEROSERVE_DTYPE",
        choice(Dtype),
        "auto",
        "the model's; `auto` is on a GPU the checkpoint's own, on a CPU float32, of a tower of 256 values or wider "
        "bfloat16 where the CPU multiplies in it (AVX512-BF16, AMX)",
    )
    # The ports' defaults are each service's own.
    grpc_port: int = setting("HEROSERVE_GRPC_PORT", port, 0, "gRPC")
    http_port: int = setting(
        "HEROSERVE_HTTP_PORT", port, 0, "health: `/readyz`; the LLM service's has OpenAI's API: `/v1/`"
    )
    host: str = setting(
        "HEROSERVE_HTTP_HOST", text, "0.0.0.0", "address the HTTP port listens on; gRPC and metrics listen on all"
    )
    metrics_port: int = setting("HEROSERVE_METRICS_PORT", port, 0, "Prometheus: `/metrics`")
    ray_metrics_port: int = setting(
        "HEROSERVE_RAY_METRICS_PORT", port, 0, "Prometheus: Ray's own metrics, where the service starts its own Ray"
    )
    metrics_dir: str = setting(
        "HEROSERVE_METRICS_DIR",
        text,
        "",
        "where a folder is made in which a node's processes of one service share their counts",
        shown="`heroserve-UID` in the temporary folder",
    )
    api_keys: tuple[str, ...] = setting(
        api_keys.VARIABLE,
        api_keys.parse_keys,
        (),
        "accepted keys, comma-separated, of printable ASCII; none lets everyone in",
        secret=True,
    )
    key_rate: float = setting(
        quotas.RATE,
        real(0, 1_000_000),
        0.0,
        "requests a second of one API key, at each proxy (one a node), and as many at once; more are refused with "
        "`RESOURCE_EXHAUSTED`",
        shown="0: no limit",
    )
    key_concurrency: int = setting(
        quotas.CONCURRENCY,
        integer(0, 1_000_000),
        0,
        "requests of one API key under way at once, at each proxy",
        shown="0: no limit",
    )
    request_timeout_s: float = setting(
        "HEROSERVE_REQUEST_TIMEOUT_S", real(0, 3600, above=True), 300.0, "longest a request may take, in seconds"
    )
    min_replicas: int = setting(
        "HEROSERVE_MIN_REPLICAS", integer(1, 1000), 1, "lower bound of autoscaling, of each deployment"
    )
    max_replicas: int = setting(
        "HEROSERVE_MAX_REPLICAS", integer(1, 1000), 1, "upper bound of autoscaling, of each deployment"
    )
    upscale_delay_s: float = setting(
        "HEROSERVE_UPSCALE_DELAY_S", real(0, 86400), 30.0, "how long load must be high before autoscaling adds replicas"
    )
    downscale_delay_s: float = setting(
        "HEROSERVE_DOWNSCALE_DELAY_S",
        real(0, 86400),
        600.0,
        "how long it must be low before autoscaling takes some away",
    )
    max_ongoing_requests: int = setting(
        "HEROSERVE_MAX_ONGOING_REQUESTS",
        integer(1, 10_000),
        32,
        "requests a replica works on at once, where its engine can do so many; autoscaling aims at half of that",
    )
    max_queued_requests: int = setting(
        "HEROSERVE_MAX_QUEUED_REQUESTS",
        integer(1, 100_000),
        256,
        "requests that wait for their turn, a replica; more are refused with `RESOURCE_EXHAUSTED`",
    )
    max_queued_bytes: int = setting(
        "HEROSERVE_MAX_QUEUED_BYTES", integer(1, 1 << 40), 256 << 20, "bytes of those requests, a replica"
    )
    max_wait_s: float = setting(
        "HEROSERVE_MAX_WAIT_S",
        real(0, 3600),
        30.0,
        "longest a request waits for its turn, in seconds, and at most half of what its caller gives it",
    )
    max_image_bytes: int = setting(
        "HEROSERVE_MAX_IMAGE_BYTES", integer(1, 60 << 20), 20 << 20, "of an image's encoded file, at most 60 MiB"
    )
    replica_cpus: float = setting(
        REPLICA_CPUS,
        real(1e-4, 1024),
        1.0,
        "cores a model replica reserves and computes with",
        shown="1; of a model 256 values or wider, where a service starts its own Ray, the machine's, divided by "
        "`HEROSERVE_MAX_REPLICAS`",
    )
    replica_gpus: float = setting(
        "HEROSERVE_REPLICA_GPUS",
        real(1e-4, 64),
        1.0,
        "GPUs a model replica takes where there are any; a fraction lets both services share one",
    )
    log_level: LogLevel = setting("HEROSERVE_LOG_LEVEL", choice(LogLevel), "INFO")
    log_format: LogFormat = setting(
        "HEROSERVE_LOG_FORMAT", choice(LogFormat), "auto", "of a line; `auto` is text on a terminal, else JSON"
    )
    log_file: str = setting(
        "HEROSERVE_LOG_FILE",
        text,
        "",
        "what a service's processes append their lines to in place of stderr, which for replicas is a file of Ray's",
        shown="stderr; in the images `/proc/1/fd/2`",
    )

    def __post_init__(self) -> None:
        if self.max_replicas < self.min_replicas:
            raise SettingError(
                f"HEROSERVE_MAX_REPLICAS={self.max_replicas} is below HEROSERVE_MIN_REPLICAS={self.min_replicas}"
            )
        if self.replica_gpus > 1 and self.replica_gpus % 1:
            raise SettingError(
                f"HEROSERVE_REPLICA_GPUS={self.replica_gpus:g}: expected a whole number of them, or a fraction of one"
            )
        ports: dict[int, str] = {}
        for item in dataclasses.fields(self):
            number, variable = getattr(self, item.name), item.metadata["variable"]
            if item.name.endswith("_port") and ports.setdefault(number, variable) != variable and number:
                raise SettingError(f"{ports[number]} and {variable} are both {number}: each needs a port of its own")
        if not self.metrics_dir:
            object.__setattr__(self, "metrics_dir", str(Path(tempfile.gettempdir()) / f"heroserve-{os.getuid()}"))

    @property
    def models_at_once(self) -> int:
        """Processes that compute with a model on one machine at most, each with ``replica_cpus`` cores."""
        return self.max_replicas

    @property
    def ingress_cpus(self) -> float:
        """Cores that a replica of an ingress before the model's reserves."""
        return 0.0

    @property
    def metrics_folder(self) -> str:
        """Shared by a service's processes on one node, and told from others' by the port they answer on."""
        return str(Path(self.metrics_dir) / f"heroserve-{self.name}-{self.metrics_port}")

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
                # A field without a repr is a secret.
                told = assigned(variable, raw) if item.repr else variable
                raise SettingError(f"{told}: {error}") from (error if item.repr else None)
        return cls(**values)


def own(name: str, default: Any, shown: str = "") -> Any:
    """The field ``name`` of both services, with a default of one's own, and what README's table says in its place."""
    (item,) = (item for item in dataclasses.fields(Settings) if item.name == name)
    metadata = {**item.metadata, "shown": shown} if shown else item.metadata
    return dataclasses.field(default=default, repr=item.repr, metadata=metadata)
