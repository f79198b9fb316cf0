"""The shell's HEROSERVE_* variables are taken, or refused by name before anything starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.stack import ROOT
from scripts.stack.shell import Shell
from services.common.known import VARIABLES
from services.common.settings import SettingError

PATH = {"PATH": "/bin"}


def test_nothing_set():
    shell = Shell.read({**PATH, "RAY_ADDRESS": "auto"})
    assert shell == Shell(dict(PATH), cache_url="", api_key="", host="localhost", bundled=True)


def test_what_is_set_reaches_the_services():
    given = {**PATH, "HEROSERVE_MODEL": "some/model", "HEROSERVE_RETENTION": "0.4", "HEROSERVE_HTTP_HOST": "127.0.0.2"}
    shell = Shell.read(given)
    assert shell.variables == given
    assert not shell.bundled
    assert shell.host == "127.0.0.2"


@pytest.mark.parametrize("model", [path.parent for path in sorted((ROOT / "models").glob("*/config.json"))], ids=str)
def test_each_model_in_the_box_can_be_asked_what_it_knows(model: Path):
    assert Shell.read({**PATH, "HEROSERVE_MODEL": os.path.relpath(model)}).bundled


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"HEROSERVE_RETENTON": "0.2"}, "HEROSERVE_RETENTON is no setting; did you mean HEROSERVE_RETENTION?"),
        ({"HEROSERVE_RETENTION": "1.5"}, r"HEROSERVE_RETENTION='1\.5': expected a number in \(0, 1\]"),
        ({"HEROSERVE_ENGINE": "x"}, "HEROSERVE_ENGINE='x': expected"),
        ({"HEROSERVE_GRPC_PORT": "9000"}, "HEROSERVE_GRPC_PORT=9000: two services .* unset it, or"),
        ({"HEROSERVE_HTTP_PORT": "1"}, "HEROSERVE_HTTP_PORT=1: two services"),
        ({"HEROSERVE_METRICS_PORT": "1"}, "HEROSERVE_METRICS_PORT=1: two services"),
        ({"HEROSERVE_RAY_METRICS_PORT": "1"}, "HEROSERVE_RAY_METRICS_PORT=1: two services"),
        ({"HEROSERVE_ENCODER_TARGET": "a:1"}, "HEROSERVE_ENCODER_TARGET=a:1: an encoder is started here"),
        ({"HEROSERVE_CACHE_PASSWORD": "s3cr3t"}, "HEROSERVE_CACHE_PASSWORD: the Redis that is started .* yours by"),
        ({"HEROSERVE_CACHE_USERNAME": "s3cr3t"}, "HEROSERVE_CACHE_USERNAME: the Redis"),
        (
            {"HEROSERVE_API_KEYS": "a,b", "HEROSERVE_API_KEY": "s3cr3t"},
            "HEROSERVE_API_KEY is none of",
        ),
        ({"HEROSERVE_API_KEYS": "a", "HEROSERVE_ENCODER_API_KEY": "s3cr3t"}, "HEROSERVE_ENCODER_API_KEY is none of"),
    ],
)
def test_what_can_not_be_used_is_told_in_a_line(variables: dict[str, str], line: str):
    with pytest.raises(SettingError, match=rf"^{line}[^\n]*$") as caught:
        Shell.read({**PATH, **variables})
    assert "s3cr3t" not in str(caught.value)


def test_several_are_told_at_once():
    with pytest.raises(SettingError) as caught:
        Shell.read({"HEROSERVE_X": "1", "HEROSERVE_GRPC_PORT": "1", "HEROSERVE_HTTP_PORT": "2"})
    assert len(str(caught.value).splitlines()) == 3


def test_blank_is_not_set():
    Shell.read(dict.fromkeys(VARIABLES, " "))


def test_with_keys_everybody_sends_one():
    given = {"HEROSERVE_API_KEYS": " first, second", "HEROSERVE_ENCODER_API_KEY": "second"}
    shell = Shell.read(given)
    assert shell.api_key == "first"
    assert shell.variables == {**given, "HEROSERVE_API_KEY": "first"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("redis://host:1/0", "redis://host:1/0"),
        ("redis://:s3cr3t@host:1/0", "redis://***@host:1/0"),
        ("rediss://user:s3@cr3t@host", "rediss://***@host"),
    ],
)
def test_a_cache_of_ones_own(url: str, shown: str):
    shell = Shell.read({"HEROSERVE_CACHE_URL": url, "HEROSERVE_CACHE_USERNAME": "me"})
    assert (shell.cache_url, shell.shown_cache) == (url, shown)
