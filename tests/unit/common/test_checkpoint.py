"""A checkpoint's files, and every failure names the variable that named it."""

from __future__ import annotations

import json

import pytest

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.encoder import parts as encoder
from services.encoder.settings import EncoderSettings

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


@pytest.mark.parametrize("levels", [50, 101, 490, 900])
@pytest.mark.parametrize("opening", ["[", '{"x_config":'])
@pytest.mark.parametrize(
    "file", ["config.json", "generation_config.json", "tokenizer_config.json", "added_tokens.json"]
)
def test_how_deep_a_file_may_be_nested(tmp_path, file, opening, levels):
    """What we read, and what libraries read of a folder."""
    closing = "]" if opening == "[" else "}"
    (tmp_path / file).write_text('{"x": ' + opening * levels + '"x"' + closing * levels + "}")
    source = Checkpoint(str(tmp_path), "HEROSERVE_X")
    ours = file in ("config.json", "generation_config.json")
    read = (lambda: source.json(file)) if ours else (lambda: source.folder)
    if levels < 100:
        assert read()
        return
    with pytest.raises(SettingError, match=rf"^HEROSERVE_X=.*: {file} is nested more than 100 levels deep$"):
        read()


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a/" * 3000])
def test_a_name_longer_than_any_path(name):
    settings = EncoderSettings(model=name)
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL="):
        encoder.check(settings)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("services.common.snapshot.Snapshot.find", forbidden)
    with pytest.raises(SettingError, match=r"^HEROSERVE_X=.*: config.json can't be read \(Permission denied\)$"):
        _ = Checkpoint(str(tmp_path), "HEROSERVE_X").config


@pytest.mark.parametrize("problem", ["a\nb", "\x1b[31mred\x1b[0m", "nul \0", "x" * 100_000, "\ud800", "\u202eflipped"])
def test_every_refusal_is_one_short_line(problem):
    line = str(Checkpoint("y", "HEROSERVE_X").unusable(problem))
    assert line.isprintable()
    assert len(line) < 1100
