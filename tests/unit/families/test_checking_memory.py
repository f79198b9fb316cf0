"""What a config claims costs no memory when a service is checked: it is refused for what its weights are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Beyond what the process has when it has checked the checkpoint as it is.
_MEMORY = 256 << 20
_HUGE = 10**9
CHECK = f"""
import json, logging, resource, sys
from pathlib import Path
from services.common.settings import SettingError
from services.{{half}} import parts
from services.{{half}}.settings import {{settings}} as Settings

logging.disable()
file, part, *keys = sys.argv[1:]
parts.check(Settings(model="."))
used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + {_MEMORY}, resource.RLIM_INFINITY))
whole = Path(file).read_text()
for key in keys:
    config = json.loads(whole)
    config[part][key] = {_HUGE}
    Path(file).write_text(json.dumps(config))
    try:
        parts.check(Settings(model="."))
        print(key, "served")
    except SettingError as error:
        print(key, error)
"""
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "max_position_embeddings")


@pytest.mark.parametrize(
    ("half", "file", "part", "keys"),
    [
        ("llm", "config.json", "text_config", (*SIZES[:3], "head_dim", "num_key_value_heads")),
        ("encoder", "config.json", "vision_config", SIZES[1:3]),
        ("encoder", "clip/config.json", "text_config", SIZES),
    ],
)
def test_sizes_that_no_memory_has(folder: Path, half: str, file: str, part: str, keys: tuple[str, ...]) -> None:
    script = CHECK.format(half=half, settings={"llm": "LlmSettings", "encoder": "EncoderSettings"}[half])
    told = subprocess.run(
        [sys.executable, "-c", script, file, part, *keys],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(keys)
    for line in lines:
        assert "000000000" in line
        assert "memory" not in line


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
