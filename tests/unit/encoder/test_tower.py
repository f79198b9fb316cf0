"""One pass of the tower yields what Hugging Face's classes yield in several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, LlavaNextForConditionalGeneration
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from services.encoder.hero import HeroConfig
from services.encoder.parts import open_tower
from services.encoder.ranking.rank_images import rank_images
from services.encoder.relevance.tiles import SharedRelevance
from services.encoder.settings import EncoderSettings
from services.encoder.tower import VisionTower
from services.families.llava_next.tiles import AnyresTiler
from tests.reference import Reference
from tests.support.encoder_parts import edit_json, edit_weights, shaken
from tests.support.pictures import picture

# Features are of about 1: far above what the order of additions leaves open, far below what a mistake does.
TOLERANCE = {"rtol": 0, "atol": 1e-4}
SIZES = ((300, 200), (150, 333))


def tiles_of(tiler: AnyresTiler, *sizes: tuple[int, int]) -> list[np.ndarray]:
    return [tiler.cut(picture(*size), tiler.grid(*size)) for size in sizes]


def image_features(clip: Any, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        features = clip.get_image_features(pixel_values=pixels)
    return getattr(features, "pooler_output", features)


def unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features, dim=-1)


@pytest.fixture(scope="module")
def tiles(tiler: AnyresTiler) -> np.ndarray:
    return np.concatenate(tiles_of(tiler, *SIZES))


@pytest.fixture(scope="module")
def pixels(tower: VisionTower, tiles: np.ndarray) -> torch.Tensor:
    return tower._normalise(torch.from_numpy(tiles))


@pytest.fixture(scope="module")
def hidden(reference: Reference, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.inference_mode():
        return reference.model.model.vision_tower(pixels, output_hidden_states=True).hidden_states


def test_features_are_of_the_layer_the_model_reads(tower: VisionTower, tiles: np.ndarray, hidden: Any) -> None:
    output = tower.run(tiles)
    assert output.features.shape == (len(tiles), 64, 64)
    assert output.features.shape[-1] == tower.feature_width
    torch.testing.assert_close(output.features, hidden[-2][:, 1:], **TOLERANCE)


def test_cls_is_the_last_state_before_the_norm(tower: VisionTower, tiles: np.ndarray, hidden: Any) -> None:
    torch.testing.assert_close(tower.run(tiles).cls, hidden[-1][:, 0], **TOLERANCE)


def test_the_models_own_features(tower: VisionTower, tiler: AnyresTiler, reference: Reference) -> None:
    """From pixels to features by the whole of Hugging Face's code."""
    image = picture(301, 199)
    output = tower.run(tiler.cut(image, tiler.grid(301, 199)))
    torch.testing.assert_close(output.features, reference.tile_features(image), **TOLERANCE)


@pytest.mark.parametrize("layers", [None, (0, 1, 2, 3), (0, 3)])
def test_cls_rows_are_those_of_eager_attention(
    untrained: str,
    tower: VisionTower,
    tiles: np.ndarray,
    pixels: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    layers: tuple[int, ...] | None,
) -> None:
    if layers:
        monkeypatch.setattr(tower, "hero", HeroConfig(low_layers=layers[:-1], high_layers=layers[-1:]))
    eager = LlavaNextForConditionalGeneration.from_pretrained(untrained, attn_implementation="eager").eval()
    with torch.inference_mode():
        attentions = eager.model.vision_tower(pixels, output_attentions=True).attentions
    expected = torch.stack([attentions[layer][:, :, 0, 1:] for layer in tower.hero.layers])
    recorded = tower.run(tiles).cls_attention
    assert recorded.dtype == torch.float32
    assert recorded.shape == (len(tower.hero.layers), len(tiles), 4, 64)
    torch.testing.assert_close(recorded, expected, rtol=1e-3, atol=1e-5)


def test_a_tower_reads_the_layers_of_its_depth(untrained: str, tower: VisionTower) -> None:
    # A fresh CLIP's temperature, which is learned with the rest.
    assert tower.hero.relevance_temperature == pytest.approx(0.07, rel=1e-3)
    assert replace(tower.hero, relevance_temperature=0.01) == HeroConfig().for_depth(4)
    authors = open_tower(EncoderSettings(model=untrained, hero="reference"))
    assert authors.hero == HeroConfig.reference().for_depth(4)


def test_a_batch_is_as_good_as_one_by_one(tower: VisionTower, tiler: AnyresTiler) -> None:
    parts = tiles_of(tiler, *SIZES)
    together = tower.run(np.concatenate(parts))
    alone = [tower.run(part) for part in parts]
    for name, dim in (("features", 0), ("cls", 0), ("embedding", 0), ("cls_attention", 1)):
        expected = torch.cat([getattr(output, name) for output in alone], dim=dim)
        torch.testing.assert_close(getattr(together, name), expected, **TOLERANCE)

    masks = [tiler.grid(*size).valid() for size in SIZES]
    split = rank_images(together, masks, tower.hero)
    for image, output, mask in zip(split, alone, masks, strict=True):
        (lone,) = rank_images(output, [mask], tower.hero)
        assert np.array_equal(image.valid, lone.valid)
        assert image.relevance.shape == (len(mask) - 1, 32)
        assert image.saliency_cos.shape == (len(mask) - 1,)
        np.testing.assert_allclose(image.saliency_cos, lone.saliency_cos, atol=1e-4)
        np.testing.assert_allclose(image.relevance, lone.relevance, atol=1e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.1), ("float16", 0.03)])
def test_half_precision(untrained: str, tiles: np.ndarray, hidden: Any, dtype: str, tolerance: float) -> None:
    tower = open_tower(EncoderSettings(model=untrained, dtype=dtype))
    output = tower.run(tiles)
    assert output.features.dtype == getattr(torch, dtype)
    # Scores and relevance are in float32 whatever the tower's dtype.
    assert output.cls_attention.dtype == output.embedding.dtype == torch.float32
    torch.testing.assert_close(output.features.float(), hidden[-2][:, 1:], rtol=tolerance, atol=tolerance)
    (image,) = rank_images(output, [np.ones((len(tiles), 64), bool)], tower.hero)
    assert (image.dtype, image.feature_width, image.rows.shape[1]) == (dtype, 64, 128)


@pytest.mark.parametrize("states", [[-2], [-2, -4], [1, -1, 0], 2, -1, 0])
def test_vision_feature_layer(folder: Path, tiles: np.ndarray, hidden: Any, states: list[int] | int) -> None:
    edit_json(folder / "config.json", lambda config: config.update(vision_feature_layer=states))
    tower = open_tower(EncoderSettings(model=str(folder)))
    wanted = states if isinstance(states, list) else [states]
    expected = torch.cat([hidden[state][:, 1:] for state in wanted], dim=-1)
    assert tower.feature_width == 64 * len(wanted)
    torch.testing.assert_close(tower.run(tiles).features, expected, **TOLERANCE)


class TestRelevance:
    @pytest.fixture
    def blocks_run(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
        """One element a transformer block that ran: how many tiles it saw."""
        seen: list[int] = []
        forward = CLIPEncoderLayer.forward

        def counting(layer: Any, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            seen.append(len(hidden))
            return forward(layer, hidden, *args, **kwargs)

        monkeypatch.setattr(CLIPEncoderLayer, "forward", counting)
        return seen

    def test_shared_with_the_tower(
        self, tower: VisionTower, tiles: np.ndarray, pixels: torch.Tensor, clip: Any, blocks_run: list[int]
    ) -> None:
        output = tower.run(tiles)
        assert blocks_run == [len(tiles)] * 4
        assert isinstance(tower._relevance, SharedRelevance)
        assert output.embedding.shape == (len(tiles), 32)
        torch.testing.assert_close(output.embedding, unit(image_features(clip, pixels)), **TOLERANCE)

    def test_a_tower_of_its_own(
        self, folder: Path, tower: VisionTower, tiles: np.ndarray, pixels: torch.Tensor, blocks_run: list[int]
    ) -> None:
        edit_weights(folder / "clip", lambda tensors: shaken(tensors, "vision_model."))
        separate = open_tower(EncoderSettings(model=str(folder)))
        output = separate.run(tiles)
        assert blocks_run == [len(tiles)] * 8
        own = CLIPModel.from_pretrained(folder / "clip").eval()
        torch.testing.assert_close(output.embedding, unit(image_features(own, pixels)), **TOLERANCE)
        shared = tower.run(tiles)
        assert (output.embedding - shared.embedding).abs().max() > 0.01
        torch.testing.assert_close(output.features, shared.features, **TOLERANCE)

    @pytest.mark.parametrize("shake", [True, False], ids=["its own weights", "the tower's weights"])
    def test_its_own_mean_and_deviation(self, folder: Path, tiles: np.ndarray, shake: bool) -> None:
        if shake:
            edit_weights(folder / "clip", lambda tensors: shaken(tensors, "vision_model."))
        own = {"image_mean": [0.3, 0.4, 0.5], "image_std": [0.2, 0.3, 0.4]}
        edit_json(folder / "clip" / "preprocessor_config.json", lambda config: config.update(own))
        output = open_tower(EncoderSettings(model=str(folder))).run(tiles)
        clip = CLIPModel.from_pretrained(folder / "clip").eval()
        mean, std = (torch.tensor(own[name]).view(1, 3, 1, 1) for name in ("image_mean", "image_std"))
        pixels = (torch.from_numpy(tiles).float() / 255 - mean) / std
        torch.testing.assert_close(output.embedding, unit(image_features(clip, pixels)), **TOLERANCE)

    @pytest.mark.parametrize("resample", [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
    def test_another_image_size(
        self, untrained: str, folder: Path, tiles: np.ndarray, clip: Any, resample: Image.Resampling
    ) -> None:
        torch.manual_seed(0)
        config = clip.config.to_dict()
        config["vision_config"]["image_size"] = 56
        config["vision_config"]["initializer_factor"] = 4.0
        own = CLIPModel(CLIPConfig.from_dict(config)).eval()
        own.save_pretrained(folder)
        edit_json(folder / "config.json", lambda saved: saved.pop("heroserve", None))
        edit_json(
            folder / "preprocessor_config.json", lambda saved: saved.update(size=56, crop_size=56, resample=resample)
        )

        output = open_tower(EncoderSettings(model=untrained, relevance_model=str(folder))).run(tiles)

        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        small = [Image.fromarray(tile.transpose(1, 2, 0)).resize((56, 56), resample) for tile in tiles]
        raw = torch.from_numpy(np.stack([np.asarray(tile).transpose(2, 0, 1) for tile in small]))
        expected = unit(image_features(own, (raw.float() / 255 - mean) / std))
        # Pillow and torch round a resized byte differently now and then; tiles differ far more.
        spread = expected.std(dim=0).max()
        assert (output.embedding - expected).abs().max() < 0.1 * spread

    def test_switched_off(self, untrained: str, tiles: np.ndarray, blocks_run: list[int]) -> None:
        output = open_tower(EncoderSettings(model=untrained, relevance_model="none")).run(tiles)
        assert output.embedding.shape == (len(tiles), 0)
        assert blocks_run == [len(tiles)] * 4


MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
