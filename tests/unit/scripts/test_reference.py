"""The reference tells all there is. That it is fresh is for `make lint`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import heroserve
from scripts.reference import errors, protos, sdk, settings
from scripts.settings import OTHERS, variables
from services.common.errors import Reason
from services.common.variable import Real, Whole

ROOT = Path(__file__).resolve().parents[3]
PAGES = ROOT / "docs/reference"


def text(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def test_every_number_of_the_settings_has_a_unit():
    fields = [item for each in variables().values() for item in each.values()]
    numbers = [item for item in fields if isinstance(item.metadata["parse"], (Whole, Real))]
    assert {item.name for item in numbers if not settings.unit(item)} == set(settings.BARE)


def test_what_a_setting_takes_is_what_its_parser_says():
    fields = {item.metadata["variable"]: item for each in variables().values() for item in each.values()}
    assert settings.takes(fields["HEROSERVE_RETENTION"]) == "above 0, to 1"
    assert settings.takes(fields["HEROSERVE_GRPC_PORT"]) == "1 to 65,535"
    assert settings.takes(fields["HEROSERVE_MAX_IMAGE_BYTES"]) == "1 byte to 60 MiB"
    assert settings.takes(fields["HEROSERVE_CACHE_MEMORY_BYTES"]) == "1 MiB to 1 TiB"
    assert settings.takes(fields["HEROSERVE_KEY_RATE"]) == "0 to 1,000,000 requests a second"
    assert settings.takes(fields["HEROSERVE_CACHE_TTL_S"]) == "1 to 31,536,000 whole seconds"
    assert settings.takes(fields["HEROSERVE_CACHE_TIMEOUT_S"]) == "above 0, to 60 seconds"
    assert settings.takes(fields["HEROSERVE_HERO"]) == "`default`, `paper`, `reference`"
    assert all(f"| `{variable}` |" in text("settings") for variable in {*variables(), *OTHERS})


def test_every_series_that_the_code_makes_is_there():
    """Found by reading, not by asking for the modules that the page asks."""
    named: set[str] = set()
    for path in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name("Counter" | "Gauge" | "Histogram" | "exhausted"), args=[ast.Constant(str(name)), *_]
                ):
                    named.add(name)
    told = set(re.findall(r"^\| `(heroserve_\w+)` \|", text("metrics"), re.MULTILINE))
    assert told == named
    assert len(named) > 20


def test_every_public_name_of_the_sdk_has_its_place():
    placed = [name for names in sdk.sections().values() for name in names]
    assert sorted([*placed, "__version__"]) == sorted(heroserve.__all__)


def test_every_error_over_http_is_told():
    assert errors.http_errors() == set(errors._WHEN)
    assert set(errors._REASONS) == set(Reason.__args__)


def test_every_message_and_field_of_the_wire_is_there():
    page = text("protos")
    for file in protos.descriptors():
        for message in file.message_type:
            assert f"\n### {message.name}\n" in page
            for field in message.field:
                assert f"`{field.name}` |" in page


def test_what_a_page_shows_is_nothing_to_run():
    """Its usages are no commands, or the documents' tests would run them."""
    assert [path.name for path in PAGES.glob("*.md") if "```console" in path.read_text(encoding="utf-8")] == []
