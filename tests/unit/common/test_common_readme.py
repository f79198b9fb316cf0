"""The README's table of settings is the settings."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings

README = Path(__file__).resolve().parents[3] / "README.md"


def test_the_table_has_every_variable_and_no_other():
    documented: dict[str, set[str]] = {}
    for line in README.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `HEROSERVE_"):
            names, services, *_ = (cell.strip() for cell in line.strip("|").split("|"))
            for name in re.findall(r"HEROSERVE_\w+", names):
                documented[name] = {"encoder", "llm"} if services == "both" else {services}
    real: dict[str, set[str]] = {}
    for settings in (EncoderSettings, LlmSettings):
        for field in dataclasses.fields(settings):
            real.setdefault(field.metadata["variable"], set()).add(settings.name)
    assert documented == real
