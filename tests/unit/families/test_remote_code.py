"""Code that a checkpoint brings is never run, and on a terminal nobody is asked whether it may be."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.checkpoint import Checkpoint

# On a terminal transformers would ask there.
SCRIPT = """
import sys
from services.common.settings import SettingError
from services.encoder.app import build as build_encoder
from services.llm.app import build as build_llm
for folder in sys.argv[2:]:
    for build in (build_encoder, build_llm):
        try:
            build({"HEROSERVE_MODEL": folder, "HEROSERVE_RELEVANCE_MODEL": "none"})
            print("served", folder)
        except SettingError as error:
            print("refused", error)
    try:
        build_encoder({"HEROSERVE_MODEL": sys.argv[1], "HEROSERVE_RELEVANCE_MODEL": folder})
        print("served", folder)
    except SettingError as error:
        print("refused", error)
"""
MINE = {name: f"mine.{name}" for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoImageProcessor")}
MAP = {"auto_map": {**MINE, "AutoProcessor": "mine.P", "AutoTokenizer": ["mine.T", "mine.T"]}}


def brings_code(folder: Path, file: str, **more: object) -> None:
    """A checkpoint whose file names code of its own, which leaves a mark where it is run."""
    mark = folder.parent / "executed"
    (folder / "mine.py").write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n")
    path = folder / file
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | MAP | more))


def test_nothing_is_asked_and_nothing_run(untrained: str, tmp_path: Path) -> None:
    names = ("type", "none", "known", "parts", "files")
    folders = {name: shutil.copytree(untrained, tmp_path / name) for name in names}
    brings_code(folders["type"], "config.json", model_type="mine")
    brings_code(folders["none"], "config.json", model_type=None)
    brings_code(folders["known"], "config.json")
    text = json.loads((folders["parts"] / "config.json").read_text())["text_config"]
    brings_code(folders["parts"], "config.json", text_config={**text, **MAP, "model_type": "mine"})
    for file in ("tokenizer", "preprocessor", "processor", "generation"):
        name = f"{file}_config.json"
        brings_code(folders["files"], name, tokenizer_class="Mine", image_processor_type="Mine")
    ours, theirs = pty.openpty()
    # To whatever may be asked.
    os.write(ours, b"y\n" * 100)
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, untrained, *map(str, folders.values())],
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 0, process.stderr
    assert "[y/N]" not in process.stdout + process.stderr
    assert not (tmp_path / "executed").exists()
    outcomes = [line for line in process.stdout.splitlines() if line.startswith(("served", "refused"))]
    assert len(outcomes) == 3 * len(folders), process.stdout
    # A kind that is served is so by transformers' code.
    assert [line for line in outcomes if str(folders["known"]) in line][:2] == [f"served {folders['known']}"] * 2


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
def test_how_to_compute_is_not_a_checkpoints_business(folder: Path, key: str) -> None:
    """There the name of a repository makes transformers fetch its code."""
    before = Checkpoint(str(folder), "HEROSERVE_MODEL").config
    config = json.loads((folder / "config.json").read_text())
    config["text_config"][key] = config[key] = "someone/code"
    (folder / "config.json").write_text(json.dumps(config))
    after = Checkpoint(str(folder), "HEROSERVE_MODEL").config
    assert "someone/code" not in str({**vars(after), **vars(after.text_config)})
    assert after.to_dict() == before.to_dict()
