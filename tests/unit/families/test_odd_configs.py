"""Whatever stands in a checkpoint's files: it is served, or refused in one line; never a traceback.

Each value of each file is replaced by others of every kind. All of them are many, so one in so many is tried, others of
each key; with ``_EVERY = 1`` it is all of them, in minutes.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from services.common.settings import SettingError
from services.encoder import parts as encoder
from services.encoder.settings import EncoderSettings
from services.llm import parts as llm
from services.llm.engines.registry import open_engine
from services.llm.settings import LlmSettings

# No divisor of how many values there are.
_EVERY = 9
_OPENED_EVERY = 7
_GONE = object()
VALUES: tuple[Any, ...] = (None, -1, 0, 10**9, "x", [], {}, True, 1.5, _GONE)
FILES = ("config.json", "preprocessor_config.json", "clip/config.json", "clip/preprocessor_config.json")


def keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from keys(inner, (*path, key))


def odd(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what was done, the content that it makes)."""
    whole = json.loads(file.read_text())
    every = [(path, value) for path in keys(whole) for value in VALUES]
    for path, value in every[::_EVERY]:
        content = part = copy.deepcopy(whole)
        for key in path[:-1]:
            part = part[key]
        if value is _GONE:
            del part[path[-1]]
        else:
            part[path[-1]] = value
        yield f"{'.'.join(path)} {'gone' if value is _GONE else f'= {value!r}'}", content


def check_encoder(folder: Path) -> None:
    encoder.check(EncoderSettings(model=str(folder)))


def open_encoder(folder: Path) -> None:
    settings = EncoderSettings(model=str(folder))
    tower, embedder = encoder.open_tower(settings), encoder.open_embedder(settings)
    size = encoder.vision_half(encoder.model(settings)).tiler.tile_size
    tower.run(torch.zeros(1, 3, size, size, dtype=torch.uint8).numpy())
    assert embedder is not None
    embedder.embed("What?")


def check_llm(folder: Path) -> None:
    llm.check(LlmSettings(model=str(folder)))


def open_llm(folder: Path) -> None:
    settings = LlmSettings(model=str(folder))
    llm.open_splicer(settings)
    open_engine(settings, llm.model(settings))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("service", ["encoder", "llm"])
def test_served_or_refused(folder: Path, file: str, service: str, caplog: pytest.LogCaptureFixture) -> None:
    if service == "llm" and file != "config.json":
        pytest.skip("it reads no such file")
    check, open_ = (check_encoder, open_encoder) if service == "encoder" else (check_llm, open_llm)
    caplog.set_level(logging.CRITICAL)
    path = folder / file
    passed = 0
    faults = []
    for done, content in odd(path):
        path.write_text(json.dumps(content))
        step = "check"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(folder)
                passed += 1
                if passed % _OPENED_EVERY == 0:
                    step = "open"
                    open_(folder)
        except SettingError as error:
            if "\n" in str(error) or not str(error).startswith("HEROSERVE_"):
                faults.append(f"{done}: {error!r}")
        except Exception as error:  # noqa: BLE001 - which must not come out
            faults.append(f"{done}: {step}: {type(error).__name__}: {error}")
    assert not faults, "\n".join(faults)
    assert passed > 5


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("num_hidden_layers", 10**9, "text_config.num_hidden_layers of its config is 1000000000; expected"),
        ("num_hidden_layers", 0, "text_config.num_hidden_layers of its config is 0; expected"),
        ("num_key_value_heads", -1, "text_config.num_key_value_heads of its config is -1; expected"),
        ("num_attention_heads", 0, "(text_config.num_attention_heads is 0: ZeroDivisionError"),
        ("head_dim", 0, "text_config.head_dim of its config is 0; expected"),
        ("vocab_size", -1, "text_config.vocab_size of its config is -1; expected"),
        ("hidden_act", "swish2", "text_config.hidden_act is 'swish2'"),
        ("rms_norm_eps", float("nan"), "text_config.rms_norm_eps of its config is nan; expected a finite number"),
        ("rms_norm_eps", float("inf"), "text_config.rms_norm_eps of its config is inf; expected a finite number"),
        ("rms_norm_eps", -1.0, "text_config.rms_norm_eps of its config is -1.0; expected a number from 0 on"),
        (
            "rope_parameters",
            {"rope_type": "default", "rope_theta": 0},
            "text_config.rope_parameters.rope_theta of its config is 0.0; expected a number above 0",
        ),
        (
            "rope_parameters",
            {"rope_type": "yarn", "rope_theta": 1e4, "factor": 0},
            "text_config.rope_parameters.factor of its config is 0.0; expected a number above 0",
        ),
        ("rope_parameters", {"rope_type": "x"}, "text_config.rope_parameters.rope_type is 'x'"),
    ],
)
def test_what_makes_no_language_model_is_refused_by_its_key(folder: Path, key: str, value: Any, told: str) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["text_config"][key] = value
    path.write_text(json.dumps(config))
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL=.*$") as caught:
        check_llm(folder)
    assert told in str(caught.value)
