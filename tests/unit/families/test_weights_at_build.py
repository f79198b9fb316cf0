"""What is wrong with weights is told by ``build()``, in a line, by the service whose they are; none of them is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, LlavaNextForConditionalGeneration

from services.common.settings import SettingError
from services.common.weights.stored import StoredTensor
from services.encoder.app import build as build_encoder
from services.llm.app import build as build_llm
from tests.support.damage import POINTER, SAFETENSORS, as_torch_file, in_shards, spoil

BUILDS = {"encoder": build_encoder, "llm": build_llm}
HUB = "vision_tower.vision_model."
TOWER = f"{HUB}encoder.layers.2.mlp.fc1.weight"
LAYER = "language_model.model.layers.1.mlp.up_proj.weight"
Tensors = dict[str, torch.Tensor]


def told(service: str, folder: Path, variable: str = "HEROSERVE_MODEL") -> str:
    """The line, less the setting."""
    with pytest.raises(SettingError) as caught:
        BUILDS[service]({"HEROSERVE_MODEL": str(folder)})
    line = str(caught.value)
    named = f"{variable}={str(folder if variable == 'HEROSERVE_MODEL' else folder / 'clip')!r}: "
    assert line.startswith(named)
    assert len(line.splitlines()) == 1
    assert len(line) < 500
    return line.removeprefix(named)


def accepts(service: str, folder: Path) -> None:
    BUILDS[service]({"HEROSERVE_MODEL": str(folder)})


def configured(folder: Path, part: str | None, entries: dict[str, Any]) -> None:
    content = json.loads((folder / "config.json").read_text())
    (content[part] if part else content).update(entries)
    (folder / "config.json").write_text(json.dumps(content))


def change(folder: Path, edit: Callable[[Tensors], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("service", BUILDS)
def test_no_byte_of_a_weight_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    read = []
    one = StoredTensor.read
    monkeypatch.setattr(StoredTensor, "read", lambda tensor: read.append(tensor.name) or one(tensor))
    accepts(service, folder)
    # CLIP's temperature, one number.
    assert read == ["logit_scale"] * (service == "encoder")


@pytest.mark.parametrize("service", BUILDS)
@pytest.mark.parametrize("damage", SAFETENSORS)
def test_a_damaged_file(folder: Path, service: str, damage: str) -> None:
    line = spoil(folder / "model.safetensors", *SAFETENSORS[damage])
    assert told(service, folder).startswith(f"model.safetensors {line}")


@pytest.mark.parametrize("damage", ["a Git LFS pointer", "half of it", "nothing"])
def test_a_damaged_file_of_the_relevance_model(folder: Path, damage: str) -> None:
    line = spoil(folder / "clip" / "model.safetensors", *SAFETENSORS[damage])
    assert told("encoder", folder, "HEROSERVE_RELEVANCE_MODEL").startswith(f"model.safetensors {line}")
    accepts("llm", folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_pointer_in_the_place_of_another_file(folder: Path, name: str) -> None:
    (folder / name).write_bytes(POINTER)
    assert told("llm", folder).startswith(f"{name} is a Git LFS pointer")


def test_shards_are_checked_by_the_service_whose_they_are(folder: Path) -> None:
    in_shards(folder, lambda name: f"{'tower' if 'vision' in name else 'rest'}.safetensors")
    rest = (folder / "rest.safetensors").read_bytes()
    (folder / "rest.safetensors").unlink()
    accepts("encoder", folder)
    assert told("llm", folder).startswith(
        "rest.safetensors is missing; model.safetensors.index.json says that it holds "
    )
    (folder / "tower.safetensors").write_bytes(POINTER)
    assert told("encoder", folder).startswith("tower.safetensors is a Git LFS pointer")
    (folder / "rest.safetensors").write_bytes(rest)
    # What ``git lfs pull --include`` leaves of the other half.
    accepts("llm", folder)


OF_THE_LANGUAGE_MODEL = {
    "another width": ({"hidden_size": 128}, "is [", "expected ["),
    "another inner width": (
        {"intermediate_size": 96},
        f"{LAYER.replace('up', 'down').replace('1', '0')} of model",
        "[64, 96]",
    ),
    "another vocabulary": ({"vocab_size": 1000}, " of model.safetensors is [", "expected [1000, 64]"),
    "other heads": ({"num_key_value_heads": 4}, "k_proj.weight of model.safetensors is [32, 64]", "expected [64, 64]"),
    "a layer more": ({"num_hidden_layers": 3}, "language_model.model.layers.2.", "is missing, and 8 more like it"),
    "a layer less": ({"num_hidden_layers": 1}, "language_model.model.layers.1.", "is in no place of the model's"),
    "more layers than can be": (
        {"num_hidden_layers": 10**9},
        "text_config.num_hidden_layers of its config is 1000000000; expected a whole number",
        "",
    ),
    "another kind": ({"model_type": "qwen2"}, "bias [", "is missing, and"),
}


@pytest.mark.parametrize("name", OF_THE_LANGUAGE_MODEL)
def test_a_config_of_another_language_model(folder: Path, name: str) -> None:
    entries, *parts = OF_THE_LANGUAGE_MODEL[name]
    configured(folder, "text_config", entries)
    line = told("llm", folder)
    assert all(part in line for part in parts), line


def test_a_config_without_its_language_model(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    del content["text_config"]
    (folder / "config.json").write_text(json.dumps(content))
    # Llama's own values take their place.
    assert told("llm", folder).startswith("weights do not fit the config: language_model.lm_head.weight of model.safet")
    accepts("encoder", folder)


OF_THE_TOWER = {
    "another width": ({"hidden_size": 128}, "is [", "expected ["),
    "another inner width": ({"intermediate_size": 128}, "fc1.bias of model.safetensors is [256]", "expected [128]"),
    "a layer more": ({"num_hidden_layers": 5}, f"{HUB}encoder.layers.4.", "is missing, and 15 more like it"),
    "a layer less": ({"num_hidden_layers": 3}, f"{HUB}encoder.layers.3.", "is in no place of the model's"),
    "other patches": ({"patch_size": 28}, "embedding.weight of model.safetensors is [", "expected ["),
}


@pytest.mark.parametrize("name", OF_THE_TOWER)
def test_a_config_of_another_tower(folder: Path, name: str) -> None:
    entries, *parts = OF_THE_TOWER[name]
    configured(folder, "vision_config", entries)
    line = told("encoder", folder)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("part", "entries", "parts"),
    [
        ("vision_config", {"num_hidden_layers": 5}, ["vision_model.encoder.layers.4.", "is missing"]),
        ("text_config", {"num_hidden_layers": 3}, ["text_model.encoder.layers.2.", "is missing"]),
        ("text_config", {"hidden_size": 64}, ["is [", "expected ["]),
        (None, {"projection_dim": 16}, ["projection.weight of model.safetensors is [32, 64], expected [16, 64]"]),
    ],
)
def test_a_config_of_another_relevance_model(folder: Path, part: str | None, entries: Any, parts: list[str]) -> None:
    configured(folder / "clip", part, entries)
    line = told("encoder", folder, "HEROSERVE_RELEVANCE_MODEL")
    assert all(part in line for part in parts), line


NEEDED = {
    "encoder": [f"{HUB}post_layernorm.weight", f"{HUB}embeddings.class_embedding", TOWER],
    "llm": [
        LAYER,
        "language_model.lm_head.weight",
        "language_model.model.embed_tokens.weight",
        "multi_modal_projector.linear_2.bias",
        "image_newline",
    ],
}


@pytest.mark.parametrize(("service", "name"), [(service, name) for service in NEEDED for name in NEEDED[service]])
def test_a_tensor_that_is_missing_or_another(folder: Path, service: str, name: str) -> None:
    (other,) = set(BUILDS) - {service}
    change(folder, lambda tensors: tensors.update({name: tensors[name][..., :-1].contiguous()}))
    assert f"{name} of model.safetensors is [" in told(service, folder)
    accepts(other, folder)
    change(folder, lambda tensors: tensors.update({name: torch.ones(3, dtype=torch.int64)}))
    assert f"{name} of model.safetensors is [3], expected [" in told(service, folder)
    change(folder, lambda tensors: tensors.pop(name))
    line = told(service, folder)
    assert (name in line and "missing" in line) or "none of the tensors" in line
    accepts(other, folder)


@pytest.mark.parametrize("name", ["logit_scale", "visual_projection.weight", "text_projection.weight"])
def test_a_tensor_that_is_missing_in_the_relevance_model(folder: Path, name: str) -> None:
    change(folder / "clip", lambda tensors: tensors.pop(name))
    line = told("encoder", folder, "HEROSERVE_RELEVANCE_MODEL")
    assert name in line or "none of the tensors" in line


@pytest.mark.parametrize(
    ("service", "name"), [("encoder", "vision_tower.adapter.weight"), ("llm", "language_model.model.layers.0.lora_A")]
)
def test_a_weight_too_many(folder: Path, service: str, name: str) -> None:
    change(folder, lambda tensors: tensors.update({name: torch.ones(3)}))
    assert (
        told(service, folder)
        == f"weights do not fit the config: {name} of model.safetensors is in no place of the model's"
    )


def test_buffers_of_older_checkpoints_are_no_weights(folder: Path) -> None:
    def add(tensors: Tensors) -> None:
        tensors[f"{HUB}embeddings.position_ids"] = torch.arange(65)[None]
        tensors["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)

    change(folder, add)
    change(folder / "clip", lambda t: t.update({"text_model.embeddings.position_ids": torch.arange(77)[None]}))
    for service in BUILDS:
        accepts(service, folder)


MIXTURE = {"model_type": "mixtral", "num_local_experts": 3, "num_experts_per_tok": 2, "intermediate_size": 32}
EXPERT = "model.language_model.layers.1.block_sparse_moe.experts.2.w1.weight"


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda tensors: None, None),
        (
            lambda tensors: tensors.update({EXPERT: torch.ones(3, 64)}),
            "is [3, 64], the others of its kind are [32, 64]",
        ),
        (lambda tensors: tensors.pop(EXPERT), "experts.2.w1.weight is missing"),
        (lambda tensors: tensors.pop(EXPERT.replace("experts.2.w1", "gate")), "is missing"),
    ],
)
def test_experts_that_are_put_together_while_they_are_loaded(folder: Path, edit: Any, line: str | None) -> None:
    configured(folder, "text_config", MIXTURE)
    model = LlavaNextForConditionalGeneration(AutoConfig.from_pretrained(folder))
    model.save_pretrained(folder)
    names = load_file(folder / "model.safetensors")
    stored = next(name for name in names if name.endswith(EXPERT.removeprefix("model.language_model.")))

    def renamed(tensors: Tensors) -> None:
        own = {name.replace(stored.removesuffix(EXPERT[21:]), EXPERT[:21]): tensor for name, tensor in tensors.items()}
        edit(own)
        tensors.clear()
        tensors.update(own)

    change(folder, renamed)
    if line is None:
        accepts("llm", folder)
    else:
        assert line in told("llm", folder)


@pytest.mark.parametrize("kind", [torch.int64, torch.bool])
def test_weights_in_a_dtype_that_is_none_of_weights(folder: Path, kind: torch.dtype) -> None:
    for service, name in (("encoder", TOWER), ("llm", LAYER)):
        change(folder, lambda tensors, name=name: tensors.update({name: tensors[name].to(kind)}))
        assert f"{name} of model.safetensors is in {'I64' if kind == torch.int64 else 'BOOL'}, served are" in told(
            service, folder
        )


@pytest.mark.parametrize("form", [{}, {"legacy": True}, {"shards": 3}], ids=str)
def test_weights_of_torch(folder: Path, form: dict[str, Any]) -> None:
    as_torch_file(folder / "model.safetensors", **form)
    as_torch_file(folder / "clip" / "model.safetensors", **form)
    for service in BUILDS:
        accepts(service, folder)
    (folder / "pytorch_model-00003-of-00003.bin" if form.get("shards") else folder / "pytorch_model.bin").unlink()
    for service in BUILDS:
        assert "is missing" in told(service, folder) or "no weights" in told(service, folder)
