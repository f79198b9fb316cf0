"""Loading takes what the model takes, and one tensor more: not a second copy of it, in whatever dtype."""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, LlavaNextForConditionalGeneration

WIDE = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
# Beside each tensor of its size: what is not the models', and what an allocator keeps.
SPARE = 1.4


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK) or platform.libc_ver()[0] != "glibc",
    reason="asks Linux for the peak of a process, and glibc to give back what is free",
)
def test_the_peak_is_the_model(untrained: str, folder: Path) -> None:
    """It was 4.9 times the size of a tower in bfloat16."""
    content = json.loads((folder / "config.json").read_text())
    content["vision_config"] |= WIDE | {"num_hidden_layers": 16}
    content["text_config"] |= WIDE | {"num_hidden_layers": 12, "num_key_value_heads": 8, "head_dim": 64}
    (folder / "config.json").write_text(json.dumps(content))
    with torch.device("meta"):
        shapes = LlavaNextForConditionalGeneration(AutoConfig.from_pretrained(folder)).state_dict()
    weights = {name: torch.full(tensor.shape, 0.01, dtype=torch.bfloat16) for name, tensor in shapes.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    size = {"tower": 0, "language": 0}
    for name, tensor in weights.items():
        size["tower" if "vision_tower" in name else "language"] += tensor.nbytes
    assert min(size.values()) > 80e6

    command = [sys.executable, "-m", "tests.support.peak", untrained, str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    measured = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(half, dtype) for half, dtype, *_ in measured} == set(itertools.product(size, ("float32", "bfloat16")))
    for half, dtype, peak, after in measured:
        wanted = size[half] * (2 if dtype == "float32" else 1)
        assert 0.5 * wanted < peak < SPARE * wanted, (half, dtype)
        assert after < SPARE * wanted, (half, dtype)
