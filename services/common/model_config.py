"""What transformers makes of a config.json: by its own classes, whatever code or kernels the file may name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from services.common.shown import first_line, shown, shown_name

# What transformers raises at configs and tokenizers that are not what it expects.
ODD = (ArithmeticError, AttributeError, ImportError, LookupError, OSError, TypeError, ValueError, StrictDataclassError)
# How to compute, and what a model's code returns, is said here, not by a checkpoint: one may name code on the hub.
_NOT_ITS_BUSINESS = (
    *("attn_implementation", "_attn_implementation", "experts_implementation", "auto_map"),
    *("return_dict", "output_attentions", "output_hidden_states"),
)


def model_config(written: dict[str, Any]) -> Any:
    """The config object of what a config.json says.

    Raises:
        ValueError: none can be made of that; says why, in one line.
    """
    model_type = written.get("model_type")
    if not isinstance(model_type, str) or model_type not in _kinds():
        raise ValueError(f"transformers does not know its model_type {shown(model_type)}")
    try:
        return _kinds()[model_type].from_dict(_without(_NOT_ITS_BUSINESS, written))
    except ODD as error:
        problem = ", ".join(_unknown_parts(written)) or f"{type(error).__name__}: {first_line(error)}"
        if isinstance(error, ZeroDivisionError):
            problem = f"{', '.join(_divisors(written))}: {problem}"
        raise ValueError(problem) from error


def _kinds() -> Any:
    """Config classes by model_type."""
    # Not above: it takes a second, and whoever refuses a name has no need of it.
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return CONFIG_MAPPING


def _unknown_parts(written: dict[str, Any]) -> Iterator[str]:
    """What is said of the models in a model that transformers does not know."""
    for name, part in written.items():
        if name.endswith("_config") and isinstance(part, dict) and "model_type" in part:
            kind = part["model_type"]
            if not isinstance(kind, str) or kind not in _kinds():
                yield f"transformers does not know the model_type {shown(kind)} of its {shown_name(name)}"


def _divisors(written: dict[str, Any]) -> list[str]:
    """The zero that was divided by: with a one in its place nothing is. All of them, where it is more than one."""
    zeros = list(_zeros(written))
    found = [path for path in zeros if not _divides_by_zero(_with_one(written, path))]
    return [f"{shown_name('.'.join(path))} is 0" for path in found or zeros]


def _zeros(written: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in written.items():
        if isinstance(value, dict):
            yield from _zeros(value, (*above, name))
        elif type(value) in (int, float) and value == 0:
            yield (*above, name)


def _with_one(written: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    name, *rest = path
    return {**written, name: _with_one(written[name], tuple(rest)) if rest else 1}


def _divides_by_zero(written: dict[str, Any]) -> bool:
    try:
        _kinds()[written["model_type"]].from_dict(_without(_NOT_ITS_BUSINESS, written))
    except ZeroDivisionError:
        return True
    except ODD:
        pass
    return False


def _without(keys: tuple[str, ...], value: Any) -> Any:
    """A copy of what a JSON file holds, without these keys wherever they are."""
    match value:
        case dict():
            return {key: _without(keys, item) for key, item in value.items() if key not in keys}
        case list():
            return [_without(keys, item) for item in value]
    return value
