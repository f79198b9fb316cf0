"""A checkpoint's files, and every failure names the variable that named it."""

from __future__ import annotations

import json

import pytest

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError


@pytest.mark.parametrize("content", [None, "{", '{"model_type": "no such thing"}', "{}"])
def test_no_usable_config_names_the_variable(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*': no checkpoint found \(.+\)$"):
        _ = Checkpoint(str(tmp_path), "HEROSERVE_X").config


def test_a_name_that_is_no_folder_names_the_variable(tmp_path):
    with pytest.raises(SettingError, match=r"^HEROSERVE_X='.*/nowhere': no checkpoint found"):
        _ = Checkpoint(str(tmp_path / "nowhere"), "HEROSERVE_X").config


@pytest.mark.parametrize(
    ("own", "trained"), [({}, True), ({"heroserve": {"trained": False}}, False), ({"heroserve": None}, True)]
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
