"""Quantised checkpoints: packed weights of this and that method would be read as if they were numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.common.shown import shown_name

# Beside config.json, each tool's own; whose it is, where the file does not say.
_FILES = {"quant_config.json": "awq", "quantize_config.json": "gptq", "hf_quant_config.json": "modelopt"}
# What only a method's tensors are called, the telling ones first.
_ENDINGS = {
    "bitsandbytes, 4 bits": (".quant_map", ".absmax", ".bitsandbytes__nf4", ".bitsandbytes__fp4"),
    "bitsandbytes, 8 bits": (".SCB", ".weight_format"),
    "compressed-tensors": (".weight_packed", ".weight_shape", ".weight_zero_point", ".weight_global_scale"),
    "GPTQ": (".g_idx",),
    "AWQ or GPTQ": (".qweight", ".qzeros"),
    "HQQ": (".W_q",),
    "AQLM": (".codebooks", ".codes"),
    "quanto": (".weight._data", ".weight._scale"),
    "torchao": (":qdata", ".weight_qdata"),
    "FP8": (".weight_scale_inv", ".input_scale", ".activation_scale", ".k_scale", ".v_scale"),
}
# What several methods have beside a weight.
_SCALES = (".weight_scale", ".weight_scale_2", ".weight_scales", ".scales", ".zeros")
_NARROW = re.compile(r"F(?:loat)?([468])(?!\d)", re.IGNORECASE)
_WHOLE = ("I8", "U8", "I32", "int8", "uint8", "int32")


def refuse_quantised(source: Checkpoint) -> None:
    """By what its files of settings say.

    Raises:
        SettingError: it is quantised.
    """
    for entry, settings in _entries(source.written):
        raise _refused(source, _method(settings) or "by an unnamed method", f"its config has a {entry}")
    for file, tool in _FILES.items():
        settings = source.json(file)
        if settings:
            raise _refused(source, _method(settings) or tool, f"it has a {file}")


def refuse_quantised_tensors(source: Checkpoint, kinds: Mapping[str, str]) -> None:
    """By names and dtypes of tensors that do not fit, the latter as safetensors names them.

    Raises:
        SettingError: it is quantised.
    """
    for method, endings in _ENDINGS.items():
        for name in kinds:
            if name.endswith(endings):
                raise _refused(source, method, f"it has a tensor {shown_name(name)}")
    for name, kind in kinds.items():
        narrow = _NARROW.match(kind)
        if narrow:
            raise _refused(source, f"FP{narrow[1]}", f"{shown_name(name)} is {kind}")
        if kind in _WHOLE and name.endswith("weight"):
            raise _refused(source, "in whole numbers", f"{shown_name(name)} is {kind}")
    for name in kinds:
        if name.endswith(_SCALES):
            raise _refused(source, "by an unnamed method", f"it has a tensor {shown_name(name)}")


def _entries(config: Any) -> list[tuple[str, Any]]:
    """Of a config and of those in it: what says that weights are quantised."""
    if not isinstance(config, dict):
        return []
    own = [(name, config[name]) for name in ("quantization_config", "compression_config") if config.get(name)]
    parts = [value for name, value in config.items() if name.endswith("_config") and isinstance(value, dict)]
    return own + [entry for part in parts for entry in _entries(part)]


def _method(settings: Any) -> str | None:
    """As its settings name it."""
    if not isinstance(settings, dict):
        return None
    inner = settings.get("quantization")
    inner = inner if isinstance(inner, dict) else {}
    for named in (settings.get("quant_method"), inner.get("quant_algo"), settings.get("quant_algo")):
        if isinstance(named, str) and named:
            bits = [f"{bits} bits" for bits in (4, 8) if settings.get(f"load_in_{bits}bit") is True]
            return ", ".join([named, *bits])
    return None


def _refused(source: Checkpoint, method: str, evidence: str) -> SettingError:
    return source.unusable(
        f"it is quantised ({method}: {evidence}); served are weights in float32, float16 or bfloat16"
    )
