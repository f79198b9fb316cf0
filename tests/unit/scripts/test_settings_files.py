"""What scripts.settings writes says what a user must know. That it is fresh is `make lint`'s."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

import pytest

from scripts.settings import description, files, table, variables
from services.common.settings import LogLevel
from services.common.variable import choice, integer, setting
from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings

ROWS = {cells[0].strip("`"): cells[1:] for cells in (row.strip("| ").split(" | ") for row in table().splitlines()[2:])}


def test_every_variable_has_a_row_of_four_cells_with_words() -> None:
    read = [item.metadata["variable"] for kind in (EncoderSettings, LlmSettings) for item in dataclasses.fields(kind)]
    assert ROWS.keys() == set(read)
    assert all(len(cells) == 3 and all(cells) for cells in ROWS.values()), ROWS


@pytest.mark.parametrize(
    ("variable", "service", "default"),
    [
        ("HEROSERVE_GRPC_PORT", "both", "encoder 9000, llm 9001"),
        ("HEROSERVE_API_KEYS", "both", "none"),
        ("HEROSERVE_DTYPE", "both", "`auto`"),
        ("HEROSERVE_REQUEST_TIMEOUT_S", "both", "300"),
        ("HEROSERVE_CACHE_MEMORY_BYTES", "encoder", "1 GiB"),
        ("HEROSERVE_MAX_IMAGE_BYTES", "both", "20 MiB"),
        ("HEROSERVE_MAX_IMAGE_PIXELS", "encoder", "50,000,000"),
        ("HEROSERVE_CACHE_TTL_S", "encoder", "86400"),
        ("HEROSERVE_BATCH_WAIT_S", "encoder", "0.005"),
        ("HEROSERVE_ENCODER_API_KEY", "llm", "none"),
    ],
)
def test_a_default_reads_as_people_say_it(variable: str, service: str, default: str) -> None:
    assert ROWS[variable][:2] == [service, default]


def test_options_are_those_of_the_literal() -> None:
    assert ROWS["HEROSERVE_LOG_LEVEL"][2].startswith("`DEBUG`, `INFO`, `WARNING` or `ERROR`")
    assert choice(LogLevel).options == ("DEBUG", "INFO", "WARNING", "ERROR")
    assert description(setting("HEROSERVE_ONE", choice(Literal["one"]), "one", "what it is")) == "`one`: what it is"


def test_what_both_read_comes_first() -> None:
    services = [cells[0] for cells in ROWS.values()]
    assert services == sorted(services, key=["both", "encoder", "llm"].index)


def test_a_new_setting_is_one_line_and_written_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class More(LlmSettings):
        beams: int = setting("HEROSERVE_BEAMS", integer(1, 8), 2, "answers it weighs")

    monkeypatch.setattr("scripts.settings.SERVICES", (EncoderSettings, More))
    written: dict[str, Any] = {path: content.decode() for path, content in files().items()}
    assert "| `HEROSERVE_BEAMS` | llm | 2 | answers it weighs |\n" in written["README.md"]
    block = re.search(r"begin: settings of llm\b.*?end: settings of llm\b", written["docker-compose.yml"], re.DOTALL)
    assert block is not None
    assert "\n  HEROSERVE_BEAMS: ${HEROSERVE_BEAMS:-}\n" in block[0]
    assert '"HEROSERVE_BEAMS"' in written["services/common/known.py"]
    assert list(variables()["HEROSERVE_BEAMS"]) == ["llm"]
