"""Our checkpoints are named as the hub's are, so that whatever reads those reads these."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import LlavaNextForConditionalGeneration

from models.hub_names import hub_name, name_as_hub
from services.common.settings import BUNDLED_MODEL

HUB = "vision_tower.vision_model."


@pytest.fixture(params=["bundled", "untrained"])
def checkpoint(request: pytest.FixtureRequest, untrained: str) -> Path:
    return Path(BUNDLED_MODEL if request.param == "bundled" else untrained)


def test_ours_are_named_so(checkpoint: Path) -> None:
    stored = load_file(checkpoint / "model.safetensors")
    assert all(hub_name(name) == name for name in stored)
    parts = ("vision_tower.vision_model.", "language_model.", "multi_modal_projector.", "image_newline")
    assert all(name.startswith(parts) for name in stored)
    # The tower is that of its CLIP, to the last bit: in its own names, which transformers leaves alone.
    tower = {name: tensor for name, tensor in stored.items() if name.startswith(HUB)}
    clip = load_file(checkpoint / "clip" / "model.safetensors")
    assert tower.keys() == {f"vision_tower.{name}" for name in clip if name.startswith("vision_model.")}
    assert all(torch.equal(tensor, clip[name.removeprefix("vision_tower.")]) for name, tensor in tower.items())


def test_hugging_face_finds_every_tensor(checkpoint: Path) -> None:
    model, told = LlavaNextForConditionalGeneration.from_pretrained(checkpoint, output_loading_info=True)
    assert not any(told.values()), told
    stored = load_file(checkpoint / "model.safetensors")
    layer = "encoder.layers.1.mlp.fc1.weight"
    assert torch.equal(model.model.vision_tower.get_parameter(layer), stored[HUB + layer])


def test_values_stay_what_they_are(tmp_path: Path) -> None:
    tensors = {
        "vision_tower.embeddings.class_embedding": torch.tensor([0.1, float("nan"), -0.0]),
        "vision_tower.vision_model.post_layernorm.bias": torch.randn(3).bfloat16(),
        "language_model.vision_tower.odd": torch.arange(4),
        "scale": torch.tensor(0.5, dtype=torch.float16),
    }
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, {"format": "pt"})
    path.chmod(0o644)
    for _ in range(2):
        name_as_hub(tmp_path)
        named = load_file(path)
        assert named.keys() == {
            "vision_tower.vision_model.embeddings.class_embedding",
            "vision_tower.vision_model.post_layernorm.bias",
            "language_model.vision_tower.odd",
            "scale",
        }
        for name, tensor in tensors.items():
            same = named[hub_name(name)]
            assert same.dtype == tensor.dtype
            assert same.flatten().view(torch.uint8).tolist() == tensor.flatten().view(torch.uint8).tolist()
    with safe_open(path, "pt") as stored:
        assert stored.metadata() == {"format": "pt"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
