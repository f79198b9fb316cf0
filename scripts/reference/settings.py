"""Every setting of both services: what it takes, in which unit, and what it means."""

from __future__ import annotations

from scripts.reference.markdown import head, table
from scripts.settings import Field, byte_count, defaults, readers, variables
from services.common.variable import Choice, Real, Secret, Whole

_SERVICES = {"encoder": "The encoder's alone", "llm": "The LLM service's alone", "both": "Of both services"}
# By what a field's name ends with.
_UNITS = {
    "_s": "seconds",
    "_bytes": "bytes",
    "_pixels": "pixels",
    "_tiles": "tiles",
    "_cpus": "cores",
    "_gpus": "GPUs",
    "_tokens": "tokens",
    "_requests": "requests",
    "_concurrency": "requests",
    "_replicas": "replicas",
    "_images": "images",
    "_misses": "images",
    "_workers": "processes",
    "_threads": "requests",
    "_rate": "requests a second",
    "_parallel": "accelerators",
}
# Numbers that count nothing: shares, and ports.
BARE = ("retention", "cache_depth", "grpc_port", "http_port", "metrics_port", "ray_metrics_port")
# Of `scripts.settings.OTHERS`: whose each is.
_ELSEWHERE = {
    "HEROSERVE_TARGET": "the command: the LLM service's gRPC, HOST:PORT; stands for `--target`",
    "HEROSERVE_ENCODER_TARGET": "the command too: the encoder's gRPC, HOST:PORT; stands for `--encoder-target`",
    "HEROSERVE_API_KEY": "the command: the key it sends; stands for `--api-key`",
    "HEROSERVE_VERSION": "docker-compose.yml: the tag of the images that it builds",
    "HEROSERVE_SCHEMAS": "tests/deploy: a folder with schemas of Kubernetes' custom resources",
}
# Those of others that are heeded.
_FOREIGN = {
    "RAY_ADDRESS": "the Ray cluster to join; unset or `local`, a service starts a small Ray of its own",
    "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": "in a cluster, or from a Serve config: bounds messages; set it to 67108864",
    "RAY_SERVE_PROXY_USE_GRPC": "the same: `1` has proxies ask replicas by gRPC, with the next one",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": "the same: bounds those messages; set it to 134217728 (Ray's 4 MiB)",
    "HF_HOME": "where the hub's checkpoints are cached",
    "HF_HUB_OFFLINE": "`1`: the hub is not asked, what is cached is used",
    "HF_TOKEN": "the hub's key, for checkpoints that want one",
    "HF_ENDPOINT": "another hub's address",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "where spans go, with the extra `otel`; unset, there are none",
    "SSL_CERT_FILE": "certificate authorities, for images by their addresses",
    "NO_COLOR": "the command: no colours",
}
_WORDS = """\
Each is an environment variable, read once when a service starts. Unset or blank is the default. A value that
can't be used stops the service with one line that names the variable, the value and what is expected; a
`HEROSERVE_` variable that nobody reads is named by a warning, with the nearest one that is read.

`docker compose` passes on all that the shell or `.env` has, but for what it must say itself; on Kubernetes they are the
[environment of a RayService](../../deploy/kubernetes/README.md)."""


def page() -> str:
    text = head("Settings", "services/*/settings.py", _WORDS)
    for reader in ("both", "encoder", "llm"):
        found = [(name, fields) for name, fields in variables().items() if readers(fields) == reader]
        rows = (_row(name, fields) for name, fields in found)
        text += f"\n## {_SERVICES[reader]}\n" + table(("variable", "default", "takes", "what it is"), rows)
    text += "\n## Read by others\n" + table(("variable", "who reads it, and what for"), _told(_ELSEWHERE))
    return text + "\n## Others' that are heeded\n" + table(("variable", "what it does here"), _told(_FOREIGN))


def _told(words: dict[str, str]) -> list[tuple[str, str]]:
    return [(f"`{name}`", about) for name, about in words.items()]


def unit(item: Field) -> str:
    """Of a number; empty where it is none, or counts nothing."""
    if not isinstance(item.metadata["parse"], (Whole, Real)):
        return ""
    return next((word for end, word in _UNITS.items() if item.name.endswith(end)), "")


def takes(item: Field) -> str:
    """What stands in the variable, in Markdown."""
    parse = item.metadata["parse"]
    if isinstance(parse, Choice):
        return ", ".join(f"`{option}`" for option in parse.options)
    if isinstance(parse, Secret):
        return parse.expected.removeprefix("expected ")
    if not isinstance(parse, (Whole, Real)):
        return "text"
    low, high = (_number(each, item) for each in (parse.low, parse.high))
    span = f"above {low}, to {high}" if isinstance(parse, Real) and parse.above else f"{low} to {high}"
    if unit(item) == "bytes":
        return span
    whole = "whole " if isinstance(parse, Whole) and unit(item) == "seconds" else ""
    return f"{span} {whole}{unit(item)}".strip()


def _number(value: float, item: Field) -> str:
    if unit(item) == "bytes":
        return byte_count(int(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}".replace("1e+06", "1,000,000")


def _row(variable: str, fields: dict[str, Field]) -> tuple[str, ...]:
    item = next(iter(fields.values()))
    return f"`{variable}`", defaults(fields), takes(item), item.metadata["words"].replace("](docs/", "](../")
