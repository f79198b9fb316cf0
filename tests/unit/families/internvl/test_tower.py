"""What HERO reads of an InternViT: CLS rows of tokens, rows of the layer that the model reads, relevance by a CLIP."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel, InternVLForConditionalGeneration

from services.common.budget import MaxVisualTokens, Retention
from services.encoder.hero import HeroConfig
from services.encoder.parts import open_tower
from services.encoder.ranking.rank_images import rank_images
from services.encoder.settings import EncoderSettings
from services.llm.job import ImagePart
from services.llm.refusal import Role
from tests.support.encoder_parts import edit_json
from tests.support.llm_parts import InProcessEncoder, png
from tests.support.pictures import picture

SIZE = (333, 101)


def tiles_of(ours: Any, size: tuple[int, int] = SIZE) -> np.ndarray:
    return ours.tiler.cut(picture(*size), ours.tiler.grid(*size))


def tokens(patches: torch.Tensor) -> torch.Tensor:
    """[..., 64] values of 8 x 8 patches, added up over each 2 x 2 of them: [..., 16], said in another way."""
    side = patches.reshape(*patches.shape[:-1], 8, 8)
    return sum(side[..., row::2, col::2] for row in (0, 1) for col in (0, 1)).flatten(-2)


@pytest.mark.parametrize(("like", "layers"), [("1b", 4), ("38b", 5)])
def test_cls_rows_are_added_up_over_a_tokens_patches(model: Any, like: str, layers: int) -> None:
    ours = model(like)
    tiles = tiles_of(ours)
    eager = InternVLForConditionalGeneration.from_pretrained(ours.folder, attn_implementation="eager").eval()
    with torch.inference_mode():
        seen = eager.model.vision_tower(ours.tower._normalise(torch.from_numpy(tiles)), output_attentions=True)
    output = ours.tower.run(tiles)
    hero = HeroConfig().for_depth(layers)
    assert (ours.tower.hero.layers, ours.tower.hero.order) == (hero.layers, "diverse")
    expected = torch.stack([tokens(seen.attentions[layer][:, :, 0, 1:]) for layer in hero.layers])
    heads = seen.attentions[0].shape[1]
    assert output.cls_attention.shape == (len(hero.layers), len(tiles), heads, 16)
    torch.testing.assert_close(output.cls_attention, expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(output.cls, seen.last_hidden_state[:, 0], rtol=0, atol=1e-4)


def test_the_best_tokens_are_kept_and_not_the_best_patches(model: Any) -> None:
    """By the paper's order: a token whose patches together are looked at most."""
    ours = model("1b")
    output = ours.tower.run(tiles_of(ours))
    paper = HeroConfig.paper().for_depth(4)
    masks = [ours.tiler.grid(*SIZE).valid()]
    (image,) = rank_images(output, masks, paper)
    low = output.cls_attention[[paper.layers.index(layer) for layer in paper.low_layers]].mean(dim=(0, 2))
    for tile in range(1, len(masks[0])):
        assert image.positions.reshape(-1, 16)[tile].tolist() == low[tile].argsort(descending=True).tolist()
    (diverse,) = rank_images(output, masks, ours.tower.hero)
    assert diverse.positions.tolist() != image.positions.tolist()


@pytest.mark.parametrize("layer", [-1, -2, 2, 4, -5])
@pytest.mark.parametrize("like", ["1b", "1b normed"])
def test_the_layer_that_the_model_reads(model: Any, tmp_path: Path, like: str, layer: int) -> None:
    ours = model("1b", use_mean_pooling=like != "1b normed")
    tiles = tiles_of(ours)
    with torch.inference_mode():
        pixels = ours.tower._normalise(torch.from_numpy(tiles))
        expected = ours.hf.model.get_image_features(pixels, vision_feature_layer=layer).pooler_output
    folder = shutil.copytree(ours.folder, tmp_path / "model")
    edit_json(folder / "config.json", lambda config: config.update(vision_feature_layer=layer))
    other = open_tower(EncoderSettings(model=str(folder)))
    with torch.inference_mode():
        projected = ours.language.splicer.project(other.run(tiles).features)
    torch.testing.assert_close(projected, expected, rtol=0, atol=1e-5)
    assert (other.encoder_id == ours.tower.encoder_id) == (layer == -1)


def test_relevance_is_a_clips_that_sees_smaller_tiles(model: Any) -> None:
    ours = model("1b")
    tiles = tiles_of(ours)
    clip = CLIPModel.from_pretrained(ours.folder / "clip").eval()
    small = torch.nn.functional.interpolate(
        torch.from_numpy(tiles).float(), size=(56, 56), mode="bicubic", antialias=True
    )
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    )
    with torch.inference_mode():
        pixels = (small.round().clamp(0, 255) / 255 - mean) / std
        features = clip.get_image_features(pixel_values=pixels)
        expected = torch.nn.functional.normalize(getattr(features, "pooler_output", features), dim=-1)
    torch.testing.assert_close(ours.tower.run(tiles).embedding, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("relevance", ["clip", "none"])
@pytest.mark.parametrize("size", [SIZE, (60, 60)])
async def test_budgets(model: Any, relevance: str, size: tuple[int, int]) -> None:
    """Spent to the token, of several tiles and of one; with a CLIP, one that fits a question as a number tells."""
    ours = model("1b")
    name = relevance if relevance == "none" else str(ours.folder / "clip")
    encoder = InProcessEncoder(str(ours.folder), relevance_model=name)
    image = ImagePart(png(picture(*size)))
    for count in (1, 3, 15):
        kept = await encoder.fetch(Role("image"), image, "is it red?", MaxVisualTokens(count))
        assert sum(map(len, kept.kept)) == count
        assert len(kept.kept) == len(kept.grid.valid())
    whole = await encoder.plan(Role("image"), image, "is it red?", Retention(1.0))
    assert whole.kept == whole.total == 16 * len(kept.kept)
    assert (whole.relevance != 0) == (relevance == "clip")


async def test_how_well_one_tile_fits_is_told_of_it_alone(model: Any) -> None:
    """Else it would get next to nothing of a budget for several images."""
    ours = model("1b")
    encoder = InProcessEncoder(str(ours.folder), relevance_model=str(ours.folder / "clip"))
    fits = {
        (await encoder.plan(Role("image"), ImagePart(png(picture(60, 60, seed))), question, None)).relevance
        for seed in (1, 2)
        for question in ("is it red?", "how many stars?")
    }
    assert len(fits) == 4
