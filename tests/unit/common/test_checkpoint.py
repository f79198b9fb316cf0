"""A checkpoint's files, and every failure names the variable that named it."""

from __future__ import annotations

import json

import pytest

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError

DEEP = "[" * 200_000


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"no checkpoint found \(config.json is not there\)"),
        ("", r"config.json is not JSON \(.+\)"),
        ("{", r"config.json is not JSON \(.+\)"),
        ("\ufeff{}", r"config.json is not JSON \(.+\)"),
        (b'{"model_type": "\xff"}', r"config.json is not JSON \(.+\)"),
        (DEEP, r"config.json is not JSON \(.+\)"),
        ("[]", "config.json is not a JSON object but list"),
        ('"clip"', "config.json is not a JSON object but str"),
        ("null", "config.json is not a JSON object but NoneType"),
        (
            '{"model_type": "no such thing"}',
            "config.json can't be used \\(transformers does not know its model_type 'no such thing'\\)",
        ),
        ('{"model_type": ["clip"]}', r"config.json can't be used \(.+ model_type \['clip'\]\)"),
        ("{}", r"config.json can't be used \(.+ model_type None\)"),
        ('{"model_type": "clip", "text_config": 7}', r"config.json can't be used \(.+\)"),
        ('{"model_type": "llava_next", "text_config": []}', r"config.json can't be used \(.+\)"),
        (
            '{"model_type": "llava_next", "text_config": {"model_type": "mine"}}',
            r"config.json can't be used \(transformers does not know the model_type 'mine' of its text_config\)",
        ),
        (
            '{"model_type": "llava_next", "vision_config": {"model_type": {}}}',
            r"config.json can't be used \(transformers does not know the model_type \{\} of its vision_config\)",
        ),
    ],
    ids=lambda value: None if value is None else repr(value)[:40],
)
def test_no_usable_config_names_the_variable(tmp_path, content, told):
    if content is not None:
        (tmp_path / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingError, match=rf"^HEROSERVE_X='.*': {told}$"):
        _ = Checkpoint(str(tmp_path), "HEROSERVE_X").config


def test_a_config_that_is_a_folder(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(SettingError, match=r"no checkpoint found \(config.json is a folder\)$"):
        _ = Checkpoint(str(tmp_path), "HEROSERVE_X").config


def test_a_name_that_is_no_folder_names_the_variable(tmp_path):
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*/nowhere': no checkpoint found"):
        _ = Checkpoint(str(tmp_path / "nowhere"), "HEROSERVE_X").config


@pytest.mark.parametrize(
    ("own", "trained"),
    [({}, True), ({"heroserve": {"trained": False}}, False), ({"heroserve": None}, True), ({"heroserve": 7}, True)],
)
def test_trained_unless_the_config_says_otherwise(tmp_path, own, trained):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"} | own))
    assert Checkpoint(str(tmp_path), "HEROSERVE_X").trained is trained


def test_files(tmp_path):
    (tmp_path / "a.json").write_text('{"a": "é"}', encoding="utf-8")
    source = Checkpoint(str(tmp_path), "HEROSERVE_X")
    assert source.path("a.json") == tmp_path / "a.json"
    assert source.path("b.json") is None
    assert (source.json("a.json"), source.json("b.json")) == ({"a": "é"}, {})
