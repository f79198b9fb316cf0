"""Which checkpoints are served is told at once, in one line, whichever half asks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.encoder.app import build as build_encoder
from services.families.registry import FAMILIES, language_half, vision_half
from services.llm.app import build as build_llm

SERVED = "served are llava_next, internvl (of InternVL what is in Hugging Face's form, by names that end in -hf)"
QUANTISED = {"quant_method": "bitsandbytes", "load_in_4bit": True}


def change(folder: Path, entries: dict[str, object], part: str | None = None) -> None:
    config = json.loads((folder / "config.json").read_text())
    (config[part] if part else config).update(entries)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("half", [vision_half, language_half])
@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"model_type": "llama"}, "it is a 'llama' checkpoint; served are llava_next"),
        ({"model_type": "llava"}, "it is a 'llava' checkpoint; served are llava_next"),
        ({"vision_config": {"model_type": "siglip_vision_model"}}, "expected a CLIP vision tower"),
        ({"vision_feature_select_strategy": "full"}, "vision_feature_select_strategy must be 'default'"),
    ],
    ids=str,
)
def test_another_architecture(folder, half, entries, problem):
    change(folder, entries)
    with pytest.raises(SettingError, match=f"^HEROSERVE_X='.*': {problem}"):
        half(Checkpoint(str(folder), "HEROSERVE_X"))


@pytest.mark.parametrize("build", [build_encoder, build_llm])
@pytest.mark.parametrize("part", [None, "text_config", "vision_config"])
def test_a_quantised_checkpoint_is_refused_by_build(folder, build, part):
    change(folder, {"quantization_config": QUANTISED}, part)
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*': it is quantised \(bitsandbytes") as refused:
        build({"HEROSERVE_MODEL": str(folder)})
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("build", [build_encoder, build_llm])
def test_another_family_is_refused_by_build(folder, build):
    change(folder, {"model_type": "llama"})
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*': it is a 'llama' checkpoint; served are") as refused:
        build({"HEROSERVE_MODEL": str(folder)})
    assert len(str(refused.value).splitlines()) == 1


ODD = {
    "a list": {"model_type": ["llava_next"]},
    "an object": {"model_type": {}},
    "null": {"model_type": None},
    "a number": {"model_type": 7},
    "a long one": {"model_type": "x" * 100_000},
    "code of its own": {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}},
    "code alone": {"model_type": None, "auto_map": {"AutoConfig": "mine.Config"}},
}
NO_CONFIG = {"a list": b"[]", "cut": b"{", "empty": b"", "not UTF-8": b'{"model_type": "\xff"}', "none": None}


@pytest.mark.parametrize(
    ("build", "variable", "wanted"),
    [
        (build_encoder, "HEROSERVE_MODEL", SERVED),
        (build_llm, "HEROSERVE_MODEL", SERVED),
        (build_encoder, "HEROSERVE_RELEVANCE_MODEL", "expected a CLIP checkpoint"),
    ],
)
@pytest.mark.parametrize("odd", [*ODD, *NO_CONFIG])
def test_what_is_of_no_kind_is_told_which_are_served(untrained, folder, build, variable, wanted, odd):
    if odd in ODD:
        change(folder, ODD[odd])
    elif NO_CONFIG[odd] is None:
        (folder / "config.json").unlink()
    else:
        (folder / "config.json").write_bytes(NO_CONFIG[odd])
    with pytest.raises(SettingError) as refused:
        build({"HEROSERVE_MODEL": untrained, variable: str(folder)})
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{variable}={str(folder)!r}: ")
    assert line.endswith(f"; {wanted}")
    assert len(line) < 600


@pytest.mark.parametrize(("half", "other"), [("vision", "language"), ("language", "vision")])
def test_a_half_leaves_the_others_modules_alone(untrained, half, other):
    script = f"""
import sys
from services.common.checkpoint import Checkpoint
from services.families.registry import {half}_half
{half}_half(Checkpoint({untrained!r}, "HEROSERVE_X"))
own = {{name.rpartition(".")[2] for name in sys.modules if name.startswith("services.families.llava_next.")}}
print(*sorted(own))
"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert half in loaded
    assert other not in loaded
    assert not {"vision": {"projector", "splice"}, "language": {"tower", "tiles"}}[half] & set(loaded)


def test_every_family_has_both_halves():
    root = Path(__file__).resolve().parents[3] / "services" / "families"
    for folder in FAMILIES.values():
        assert (root / folder / "vision.py").is_file()
        assert (root / folder / "language.py").is_file()
