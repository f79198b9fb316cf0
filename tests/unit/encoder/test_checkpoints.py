"""Checkpoints as people have them: sharded, under old and new names, incomplete, or of another kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig

from models.untrained import TOWER, build
from services.common import device
from services.common.settings import SettingError
from services.encoder.parts import check, open_tower
from services.encoder.settings import EncoderSettings
from services.encoder.tower import VisionTower
from tests.reference import Reference
from tests.support.encoder_parts import edit_json, edit_weights, shaken

# The names that the hub's checkpoints have, and the tests' one.
HUB = "vision_tower.vision_model."
DTYPES = ("float32", "float16", "bfloat16")
TILES = np.random.default_rng(0).integers(0, 256, (2, 3, 112, 112), dtype=np.uint8)


def load(folder: Path, **settings: str) -> VisionTower:
    return open_tower(EncoderSettings(model=str(folder), **settings))


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """But for the order of additions, which depends on how weights lie in memory."""
    return torch.allclose(one, other, rtol=0, atol=1e-4)


def same(one: VisionTower, other: VisionTower) -> bool:
    return one.encoder_id == other.encoder_id and alike(one.run(TILES).features, other.run(TILES).features)


@pytest.fixture
def sharded(folder: Path, reference: Reference) -> Path:
    (folder / "model.safetensors").unlink()
    reference.model.save_pretrained(folder, max_shard_size="100KB")
    edit_json(folder / "config.json", lambda config: config.update(heroserve={"trained": False}))
    assert len(shards(folder)) > 5
    return folder


def shards(folder: Path) -> dict[str, list[str]]:
    """Stored names by file."""
    files: dict[str, list[str]] = {}
    for name, file in json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"].items():
        files.setdefault(file, []).append(name)
    return files


def test_shards(sharded: Path, tower: VisionTower) -> None:
    assert same(load(sharded), tower)


def test_only_the_shards_with_the_tower_are_opened(sharded: Path, tower: VisionTower) -> None:
    others = [file for file, names in shards(sharded).items() if not any("vision_tower" in name for name in names)]
    assert others
    for file in others:
        (sharded / file).unlink()
    assert same(load(sharded), tower)


def test_a_shard_of_the_tower_is_missing(sharded: Path) -> None:
    file = next(file for file, names in shards(sharded).items() if any("vision_tower" in name for name in names))
    (sharded / file).unlink()
    with pytest.raises(SettingError, match=rf"^HEROSERVE_MODEL=.*{file} is missing"):
        load(sharded)


@pytest.mark.parametrize("prefix", ["vision_tower.", "model.vision_tower.", "model.vision_tower.vision_model."])
def test_names_of_every_version(folder: Path, tower: VisionTower, prefix: str) -> None:
    edit_weights(folder, lambda tensors: {name.replace(HUB, prefix): t for name, t in tensors.items()})
    assert same(load(folder), tower)


def test_a_buffer_of_old_checkpoints_is_no_weight(folder: Path, tower: VisionTower) -> None:
    def add(tensors: dict[str, torch.Tensor]) -> None:
        tensors["vision_tower.vision_model.embeddings.position_ids"] = torch.arange(65)[None]

    edit_weights(folder, add)
    assert same(load(folder), tower)


def edited(change: Callable[[dict], object]) -> Callable[[Path], object]:
    return lambda folder: edit_json(folder / "config.json", change)


def drop(name: str) -> Callable[[Path], object]:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        del tensors[name]

    return lambda folder: edit_weights(folder, edit)


UNUSABLE = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
    "a .bin file that is none": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "pytorch_model.bin is no file of torch's",
    ),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no checkpoint found"),
    "config is no JSON": (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
    "another architecture": (edited(lambda config: config.update(model_type="llava")), "'llava'"),
    "another tower": (
        edited(lambda config: config["vision_config"].update(model_type="siglip_vision_model")),
        "siglip_vision_model",
    ),
    "CLS among the features": (
        edited(lambda config: config.update(vision_feature_select_strategy="full")),
        "vision_feature_select_strategy",
    ),
    "another depth": (
        edited(lambda config: config["vision_config"].update(num_hidden_layers=5)),
        "vision_tower.vision_model.encoder.layers.4.layer_norm1.bias [64] is missing",
    ),
    "another width": (
        edited(lambda config: config["vision_config"].update(hidden_size=32)),
        "class_embedding of model.safetensors is [64], expected [32]",
    ),
    "a tensor is missing": (drop("vision_tower.vision_model.post_layernorm.weight"), "post_layernorm.weight"),
    "no tower": (
        lambda folder: edit_weights(folder, lambda t: {n: v for n, v in t.items() if "vision" not in n}),
        "none of the tensors",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable(folder: Path, name: str) -> None:
    spoil, told = UNUSABLE[name]
    spoil(folder)
    with pytest.raises(SettingError) as caught:
        load(folder)
    assert str(caught.value).startswith(f"HEROSERVE_MODEL={str(folder)!r}: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
        lambda folder: (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:100_000]
        ),
        lambda folder: (folder / "preprocessor_config.json").unlink(),
        lambda folder: (folder / "preprocessor_config.json").write_text("{"),
    ],
    ids=["a Git LFS pointer", "half downloaded", "no preprocessing", "preprocessing is no JSON"],
)
def test_broken_files_name_the_variable(folder: Path, spoil: Callable[[Path], object]) -> None:
    spoil(folder)
    with pytest.raises(SettingError, match="HEROSERVE_MODEL"):
        load(folder)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL=.*nowhere.*no checkpoint found"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("relevance", "told"),
    [
        (lambda folder: folder, "it is a 'llava_next' checkpoint; expected a CLIP checkpoint"),
        (lambda folder: folder / "nowhere", "no checkpoint found"),
    ],
)
def test_unusable_relevance_model(folder: Path, relevance: Callable[[Path], Path], told: str) -> None:
    with pytest.raises(SettingError, match=r"^HEROSERVE_RELEVANCE_MODEL=") as caught:
        load(folder, relevance_model=str(relevance(folder)))
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["visual_projection.weight", "vision_model.post_layernorm.bias"])
def test_incomplete_relevance_model(folder: Path, name: str) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        del tensors[name]

    edit_weights(folder / "clip", edit)
    with pytest.raises(SettingError, match=r"^HEROSERVE_RELEVANCE_MODEL="):
        load(folder)


@pytest.mark.parametrize("value", [*map(float, ("nan", "inf", "-inf")), 1000.0, 1e9, -1e9, -1000.0, 10.1, -0.1])
def test_a_logit_scale_that_no_training_learns(folder: Path, value: float) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        tensors["logit_scale"].fill_(value)

    edit_weights(folder / "clip", edit)
    with pytest.raises(SettingError, match=r"^HEROSERVE_RELEVANCE_MODEL=.* its logit_scale is .* from 0 to 10"):
        check(EncoderSettings(model=str(folder)))


class TestIdentity:
    """``encoder_id`` changes with everything that changes the rows, and with nothing else."""

    def test_the_same_for_the_same(self, tower: VisionTower, folder: Path) -> None:
        again = open_tower(EncoderSettings(model=str(folder), cache_ttl_s=5, retention=0.9, grpc_port=1234))
        assert again.encoder_id == tower.encoder_id
        assert len(tower.encoder_id) == 32

    def test_the_language_model_does_not_matter(self, tower: VisionTower, folder: Path) -> None:
        edit_weights(folder, lambda tensors: shaken(tensors, "language_model."))
        edit_json(folder / "config.json", lambda config: config.update(image_token_index=4))
        assert load(folder).encoder_id == tower.encoder_id

    def test_the_text_half_of_the_relevance_model_does_not_matter(self, tower: VisionTower, folder: Path) -> None:
        """Tiles are embedded by the other half; a question's embedding is never cached."""
        edit_weights(folder / "clip", lambda tensors: shaken(tensors, "text_model."))
        assert load(folder).encoder_id == tower.encoder_id

    def test_how_files_are_decoded(self, tower: VisionTower, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("services.encoder.parts.DECODING", 99)
        assert load(folder).encoder_id != tower.encoder_id

    def test_dtype_without_a_relevance_model(self, folder: Path) -> None:
        ids = {load(folder, relevance_model="none", dtype=dtype).encoder_id for dtype in DTYPES}
        assert len(ids) == len(DTYPES)

    @pytest.mark.parametrize("able", [True, False])
    def test_auto_of_a_wide_tower_is_what_the_cpu_multiplies_in(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool
    ) -> None:
        monkeypatch.setattr(device, "multiplies_in_bfloat16", lambda: able)
        wide = CLIPVisionConfig(**{**TOWER.to_dict(), "hidden_size": 256})
        build(tmp_path, 0, wide)
        auto, named = (load(tmp_path, device="cpu", dtype=dtype) for dtype in ("auto", DTYPES[2 if able else 0]))
        assert (auto.dtype, auto.row_dtype) == (named.dtype, named.row_dtype) == (named.dtype, DTYPES[2 if able else 0])
        assert auto.encoder_id == named.encoder_id
        assert auto.run(TILES).features.isfinite().all()

    @pytest.mark.parametrize("settings", [{"dtype": "bfloat16"}, {"hero": "reference"}, {"relevance_model": "none"}])
    def test_settings(self, tower: VisionTower, folder: Path, settings: dict[str, str]) -> None:
        assert load(folder, **settings).encoder_id != tower.encoder_id

    @pytest.mark.parametrize(
        "change",
        [
            {"image_mean": [0.5, 0.4578275, 0.40821073]},
            {"image_std": [0.5, 0.26130258, 0.27577711]},
            {"resample": 2},
            {"rescale_factor": 1 / 127.5},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_preprocessing(self, tower: VisionTower, folder: Path, change: dict[str, object]) -> None:
        edit_json(folder / "preprocessor_config.json", lambda config: config.update(change))
        assert load(folder).encoder_id != tower.encoder_id

    def test_grids(self, tower: VisionTower, folder: Path) -> None:
        for file in ("preprocessor_config.json", "config.json"):
            edit_json(folder / file, lambda config: config.update(image_grid_pinpoints=[[112, 224], [224, 112]]))
        assert load(folder).encoder_id != tower.encoder_id

    def test_the_layer_of_the_features(self, tower: VisionTower, folder: Path) -> None:
        edit_json(folder / "config.json", lambda config: config.update(vision_feature_layer=-1))
        assert load(folder).encoder_id != tower.encoder_id
        edit_json(folder / "config.json", lambda config: config.update(vision_feature_layer=3))
        assert load(folder).encoder_id == tower.encoder_id

    @pytest.mark.parametrize("part", [f"{HUB}embeddings", f"{HUB}encoder.layers.3.mlp.fc2.bias"])
    def test_weights(self, folder: Path, part: str) -> None:
        def edit(tensors: dict[str, torch.Tensor]) -> None:
            name = next(name for name in sorted(tensors) if name.startswith(part))
            tensors[name].view(-1)[0] += 1e-3

        before = load(folder, relevance_model="none")
        edit_weights(folder, edit)
        assert load(folder, relevance_model="none").encoder_id != before.encoder_id

    @pytest.mark.parametrize("part", ["visual_projection.weight", "vision_model.embeddings.class_embedding"])
    def test_relevance_weights(self, tower: VisionTower, folder: Path, part: str) -> None:
        def edit(tensors: dict[str, torch.Tensor]) -> None:
            tensors[part].view(-1)[0] += 1e-3

        edit_weights(folder / "clip", edit)
        assert load(folder).encoder_id != tower.encoder_id

    @pytest.mark.parametrize(
        "change",
        [{"num_attention_heads": 8}, {"hidden_act": "gelu"}, {"layer_norm_eps": 1e-2}],
        ids=lambda change: next(iter(change)),
    )
    def test_the_towers_config(self, tower: VisionTower, folder: Path, change: dict[str, object]) -> None:
        edit_json(folder / "config.json", lambda config: config["vision_config"].update(change))
        changed = load(folder)
        assert not alike(changed.run(TILES).features, tower.run(TILES).features)
        assert changed.encoder_id != tower.encoder_id

    def test_relevance_preprocessing(self, folder: Path) -> None:
        edit_weights(folder / "clip", lambda tensors: shaken(tensors, "vision_model."))
        before = load(folder)
        edit_json(
            folder / "clip" / "preprocessor_config.json", lambda config: config.update(image_mean=[0.1, 0.2, 0.3])
        )
        after = load(folder)
        assert not alike(after.run(TILES).embedding, before.run(TILES).embedding)
        assert after.encoder_id != before.encoder_id


def test_a_relevance_model_without_safetensors(folder: Path, tower: VisionTower) -> None:
    """Some older CLIP checkpoints come as pytorch_model.bin alone."""
    weights = folder / "clip" / "model.safetensors"
    torch.save(load_file(weights), folder / "clip" / "pytorch_model.bin")
    weights.unlink()
    loaded = load(folder)
    assert loaded.encoder_id == tower.encoder_id
    assert alike(loaded.run(TILES).embedding, tower.run(TILES).embedding)


def test_a_bin_file_executes_nothing(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "executed",)

    (folder / "clip" / "model.safetensors").unlink()
    torch.save({"vision_model.x": Evil()}, folder / "clip" / "pytorch_model.bin")
    with pytest.raises(SettingError, match=r"HEROSERVE_RELEVANCE_MODEL.*pytorch_model\.bin holds more than tensors \("):
        load(folder)
    assert not (tmp_path / "executed").exists()
