"""What a config claims costs no memory when a service is checked: it is refused for what its weights are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Beyond what the process has when it has checked the checkpoint as it is.
_MEMORY = 256 << 20
_HUGE = 10**9
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "max_position_embeddings")
# Whose check, and which sizes of which part of which file.
CASES = (
    ("llm", "config.json", "text_config", (*SIZES[:3], "head_dim", "num_key_value_heads")),
    ("encoder", "config.json", "vision_config", SIZES[1:3]),
    ("encoder", "clip/config.json", "text_config", SIZES),
)
# One process for all of them: it is the libraries that take their time.
CHECK = f"""
import json, logging, resource
from pathlib import Path
from services.common.settings import SettingError
from services.encoder import parts as encoder
from services.encoder.settings import EncoderSettings
from services.llm import parts as llm
from services.llm.settings import LlmSettings

logging.disable()
checks = {{
    "encoder": lambda: encoder.check(EncoderSettings(model=".")),
    "llm": lambda: llm.check(LlmSettings(model=".")),
}}
for check in checks.values():
    check()
used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + {_MEMORY}, resource.RLIM_INFINITY))
for half, file, part, keys in {CASES!r}:
    whole = Path(file).read_text()
    for key in keys:
        config = json.loads(whole)
        config[part][key] = {_HUGE}
        Path(file).write_text(json.dumps(config))
        try:
            checks[half]()
            print(half, file, key, "served")
        except SettingError as error:
            print(half, file, key, error)
    Path(file).write_text(whole)
"""


@pytest.fixture(scope="module")
def told(untrained: str, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], str]:
    """What each check says, by whose it is, the file and the key."""
    folder = shutil.copytree(untrained, tmp_path_factory.mktemp("sizes") / "model")
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    return {(half, file, key): said for half, file, key, said in lines}


@pytest.mark.parametrize(("half", "file", "part", "keys"), CASES)
def test_sizes_that_no_memory_has(
    told: dict[tuple[str, ...], str], half: str, file: str, part: str, keys: tuple[str, ...]
) -> None:
    assert len(told) == sum(len(keys) for *_, keys in CASES)
    for key in keys:
        said = told[half, file, key]
        assert said.startswith("HEROSERVE_"), said
        assert "000000000" in said
        assert "memory" not in said


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_how_weights_would_be_initialised_does_not_matter(folder: Path, value: float) -> None:
    """They are stored."""
    from services.encoder import parts
    from services.encoder.settings import EncoderSettings

    for file in ("config.json", "clip/config.json"):
        config = json.loads((folder / file).read_text())
        for part in ("vision_config", "text_config"):
            config[part]["initializer_factor"] = value
        (folder / file).write_text(json.dumps(config))
    parts.check(EncoderSettings(model=str(folder)))
