"""What is written from the settings: README's table, what docker-compose.yml passes on, the names of all variables.

``scripts.generate`` writes it.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

from services.common.settings import Settings
from services.common.variable import Choice
from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings

ROOT = Path(__file__).resolve().parents[1]
SERVICES: tuple[type[Settings], ...] = (EncoderSettings, LlmSettings)
# What docker-compose.yml says itself, and why.
_COMPOSES_OWN = {
    *("HEROSERVE_GRPC_PORT", "HEROSERVE_HTTP_PORT", "HEROSERVE_HTTP_HOST", "HEROSERVE_METRICS_DIR"),
    *("HEROSERVE_METRICS_PORT", "HEROSERVE_RAY_METRICS_PORT", "HEROSERVE_DEVICE", "HEROSERVE_LOG_FILE"),
    *("HEROSERVE_CACHE_URL", "HEROSERVE_CACHE_USERNAME", "HEROSERVE_CACHE_PASSWORD"),
    *("HEROSERVE_CACHE_SENTINEL_PASSWORD", "HEROSERVE_ENCODER_TARGET"),
}
# Read by others: the SDK's command line, docker-compose.yml, tests.
OTHERS = {"HEROSERVE_API_KEY", "HEROSERVE_SCHEMAS", "HEROSERVE_TARGET", "HEROSERVE_VERSION"}
_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1, "byte"))

Field = dataclasses.Field[Any]


def files() -> dict[str, bytes]:
    blocks = {f"settings of {reader}": passed(reader) for reader in ("both", *(service.name for service in SERVICES))}
    written = {
        "README.md": _between_markers("README.md", {"settings": table()}),
        "docker-compose.yml": _between_markers("docker-compose.yml", blocks),
        "services/common/known.py": known(),
    }
    return {path: content.encode() for path, content in written.items()}


def variables() -> dict[str, dict[str, Field]]:
    """Fields of each variable, by service: first what both read, then each one's, as they are written there."""
    found: dict[str, dict[str, Field]] = {item.metadata["variable"]: {} for item in dataclasses.fields(Settings)}
    for service in SERVICES:
        for item in dataclasses.fields(service):
            found.setdefault(item.metadata["variable"], {})[service.name] = item
    return found


def table() -> str:
    """README's, in Markdown."""
    rows = ["| variable | service | default | what it is |", "| --- | --- | --- | --- |"]
    for variable, fields in variables().items():
        item = next(iter(fields.values()))
        rows.append(f"| `{variable}` | {readers(fields)} | {defaults(fields)} | {description(item)} |")
    return "\n".join(rows) + "\n"


def defaults(fields: dict[str, Field]) -> str:
    """A variable's default, or each service's where they differ."""
    told = {service: default(item) for service, item in fields.items()}
    shown, *differing = dict.fromkeys(told.values())
    return ", ".join(f"{service} {value}" for service, value in told.items()) if differing else shown


def default(item: Field) -> str:
    """As a user reads it."""
    value: Any = item.default
    if item.metadata["shown"]:
        return str(item.metadata["shown"])
    if value in ("", ()):
        return "none"
    if isinstance(value, str):
        return f"`{value}`"
    if item.name.endswith("_bytes"):
        return byte_count(value)
    return f"{value:,}" if value >= 1_000_000 else f"{value:g}"


def byte_count(value: int) -> str:
    """In the largest unit that it is a whole number of."""
    size, name = next((size, name) for size, name in _SIZES if value % size == 0)
    return f"{value // size:,} {name}"


def description(item: Field) -> str:
    """Its options, where it has a few, and its words."""
    words, parse = item.metadata["words"], item.metadata["parse"]
    if isinstance(parse, Choice):
        *first, last = (f"`{option}`" for option in parse.options)
        options = f"{', '.join(first)} or {last}" if first else last
        words = f"{options}: {words}" if words else options
    return str(words)


def passed(reader: str) -> str:
    """Lines of an environment in docker-compose.yml. Blank is the default, and so is what nobody has set."""
    chosen = (name for name, fields in variables().items() if readers(fields) == reader and name not in _COMPOSES_OWN)
    return "".join(f"  {name}: ${{{name}:-}}\n" for name in chosen)


def known() -> str:
    """A module with the names of all variables: neither service knows those of the other."""
    names = "".join(f'        "{name}",\n' for name in sorted({*variables(), *OTHERS}))
    return (
        '"""The HEROSERVE_* variables that somebody reads. Written by `python -m scripts.generate settings`."""\n\n'
        f"from __future__ import annotations\n\nVARIABLES = frozenset(\n    {{\n{names}    }}\n)\n"
    )


def readers(fields: dict[str, Field]) -> str:
    """The service that reads a variable, or "both"."""
    return "both" if len(fields) == len(SERVICES) else next(iter(fields))


def _between_markers(path: str, blocks: dict[str, str]) -> str:
    """A file's text, with each block between the lines that say ``begin: NAME`` and ``end: NAME``."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for name, block in blocks.items():
        try:
            before, begin, rest = re.split(rf"^(.*\bbegin: {name}\b.*\n)", text, flags=re.MULTILINE)
            _, end, after = re.split(rf"^(.*\bend: {name}\b.*\n)", rest, flags=re.MULTILINE)
        except ValueError:
            sys.exit(f"{path}: it needs one line with 'begin: {name}' and one below it with 'end: {name}'")
        text = f"{before}{begin}{block}{end}{after}"
    return text
