"""Quantised checkpoints are refused by their name, by config, by a tool's own file, and by their tensors alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.common.settings import SettingError
from services.encoder.app import build as build_encoder
from services.llm.app import build as build_llm

Tensors = dict[str, torch.Tensor]
BUILDS = [build_encoder, build_llm]


def told(build: Any, folder: Path) -> str:
    with pytest.raises(SettingError) as caught:
        build({"HEROSERVE_MODEL": str(folder)})
    line = str(caught.value)
    assert line.startswith("HEROSERVE_")
    assert line.endswith("; served are weights in float32, float16 or bfloat16")
    assert len(line.splitlines()) == 1
    return line.partition(": ")[2]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("part", [None, "text_config", "vision_config"])
@pytest.mark.parametrize(
    ("entry", "settings", "named"),
    [
        ("quantization_config", {"quant_method": "awq", "bits": 4}, "awq"),
        ("quantization_config", {"quant_method": "gptq", "bits": 4}, "gptq"),
        ("quantization_config", {"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes, 4 bits"),
        ("quantization_config", {"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes, 8 bits"),
        ("quantization_config", {"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8"),
        ("quantization_config", {"load_in_4bit": True}, "by an unnamed method"),
        (
            "compression_config",
            {"quant_method": "compressed-tensors", "format": "pack-quantized"},
            "compressed-tensors",
        ),
    ],
    ids=str,
)
def test_by_its_config(folder: Path, build: Any, part: str | None, entry: str, settings: Any, named: str) -> None:
    content = json.loads((folder / "config.json").read_text())
    (content[part] if part else content)[entry] = settings
    (folder / "config.json").write_text(json.dumps(content))
    assert told(build, folder).startswith(f"it is quantised ({named}: its config has a {entry});")


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    ("file", "settings", "named"),
    [
        ("quant_config.json", {"zero_point": True, "q_group_size": 128, "w_bit": 4, "version": "GEMM"}, "awq"),
        ("quantize_config.json", {"bits": 4, "group_size": 128, "desc_act": False}, "gptq"),
        ("quantize_config.json", {"bits": 4, "quant_method": "marlin"}, "marlin"),
        ("hf_quant_config.json", {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}, "FP8"),
        ("hf_quant_config.json", {"producer": {"name": "modelopt"}}, "modelopt"),
    ],
    ids=str,
)
def test_by_a_tools_own_file(folder: Path, build: Any, file: str, settings: Any, named: str) -> None:
    (folder / file).write_text(json.dumps(settings))
    assert told(build, folder).startswith(f"it is quantised ({named}: it has a {file});")


@pytest.mark.parametrize("entry", [None, {}])
def test_an_empty_entry_is_none(folder: Path, entry: Any) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"quantization_config": entry}))
    for build in BUILDS:
        build({"HEROSERVE_MODEL": str(folder)})


def packed(dtype: torch.dtype, *beside: str, weight: str = "weight", fold: int = 8) -> Callable[[str, Tensors], None]:
    """A linear layer's weight in ``dtype``, so many values in one, and what lies beside it."""

    def edit(layer: str, tensors: Tensors) -> None:
        rows, cols = tensors.pop(f"{layer}.weight").shape
        tensors[f"{layer}.{weight}"] = torch.zeros(rows, cols // fold, dtype=dtype)
        tensors.update({f"{layer}.{name}": torch.ones(rows) for name in beside})

    return edit


METHODS = {
    "AWQ": (packed(torch.int32, "qzeros", "scales", weight="qweight"), "AWQ or GPTQ: it has a tensor "),
    "GPTQ": (packed(torch.int32, "qzeros", "scales", "g_idx", weight="qweight"), "GPTQ: it has a tensor "),
    "bitsandbytes, 4 bits": (
        packed(torch.uint8, "weight.absmax", "weight.quant_map", "weight.quant_state.bitsandbytes__nf4"),
        "bitsandbytes, 4 bits: it has a tensor ",
    ),
    "bitsandbytes, 8 bits": (packed(torch.int8, "SCB", fold=1), "bitsandbytes, 8 bits: it has a tensor "),
    "FP8, of a scale": (packed(torch.float8_e4m3fn, "weight_scale", fold=1), "FP8: {weight} is F8_E4M3"),
    "FP8, of blocks": (packed(torch.float8_e4m3fn, "weight_scale_inv", fold=1), "FP8: it has a tensor "),
    "FP8, bare": (packed(torch.float8_e5m2, fold=1), "FP8: {weight} is F8_E5M2"),
    "compressed-tensors": (
        packed(torch.int32, "weight_scale", "weight_shape", weight="weight_packed"),
        "compressed-tensors: it has a tensor ",
    ),
    "HQQ": (packed(torch.uint8, "zero", "scale", weight="W_q"), "HQQ: it has a tensor "),
    "whole numbers": (packed(torch.int8, fold=1), "in whole numbers: {weight} is I8"),
    "a scale and nothing else": (
        packed(torch.bfloat16, "weight_scale", fold=1),
        "by an unnamed method: it has a tensor ",
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("build", "layer", "where"),
    [
        (build_encoder, "vision_tower.vision_model.encoder.layers.2.mlp.fc1", "."),
        (build_llm, "language_model.model.layers.1.mlp.up_proj", "."),
        (build_encoder, "text_model.encoder.layers.1.mlp.fc1", "clip"),
        (build_encoder, "vision_model.encoder.layers.1.mlp.fc1", "clip"),
    ],
)
def test_by_its_tensors_alone(folder: Path, build: Any, layer: str, where: str, method: str) -> None:
    edit, line = METHODS[method]
    path = folder / where / "model.safetensors"
    tensors = load_file(path)
    edit(layer, tensors)
    save_file(tensors, path, {"format": "pt"})
    said = told(build, folder)
    assert said.startswith(f"it is quantised ({line.format(weight=layer + '.weight')}")
    assert layer in said
