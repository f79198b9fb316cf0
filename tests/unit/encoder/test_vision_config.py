"""Values of a config: the tower they make is Hugging Face's, or they are refused by their key at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPVisionConfig

from models.untrained import TOWER, build
from services.common.settings import SettingError
from services.encoder.parts import check, model, open_embedder, open_tower
from services.encoder.settings import EncoderSettings
from services.families.registry import vision_half
from tests.reference import Reference
from tests.support.encoder_parts import edit_json
from tests.support.pictures import picture

TOLERANCE: dict[str, Any] = {"rtol": 0, "atol": 1e-4}


def assert_as_hugging_face(folder: Path) -> None:
    """From a picture to features, by the whole of its code."""
    settings = EncoderSettings(model=str(folder))
    check(settings)
    tiler, tower = vision_half(model(settings)).tiler, open_tower(settings)
    for size in ((300, 200), (90, 333)):
        image = picture(*size)
        output = tower.run(tiler.cut(image, tiler.grid(*size)))
        torch.testing.assert_close(output.features, Reference(str(folder)).tile_features(image), **TOLERANCE)
        assert len(output.cls_attention) == len(tower.hero.layers) >= 1


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_few_layers(tmp_path: Path, layers: int) -> None:
    build(tmp_path, 0, CLIPVisionConfig(**{**TOWER.to_dict(), "num_hidden_layers": layers}))
    assert_as_hugging_face(tmp_path)


def test_tiles_that_are_no_whole_number_of_patches(folder: Path) -> None:
    """8 patches of 14 pixels in 115: the rest is not looked at."""
    pinpoints = [[115, 230], [230, 115], [230, 230]]
    for part in (folder, folder / "clip"):
        edit_json(part / "config.json", lambda config: config["vision_config"].update(image_size=115))
        own = {"size": 115, "crop_size": 115, "image_grid_pinpoints": pinpoints}
        edit_json(part / "preprocessor_config.json", lambda config: config.update(own))  # noqa: B023 - called at once
    edit_json(folder / "config.json", lambda config: config.update(image_grid_pinpoints=pinpoints))
    assert_as_hugging_face(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "gelu"},
        {"layer_norm_eps": 0.1},
        {"layer_norm_eps": 0.0},
        {"num_attention_heads": 8},
        {"attention_dropout": 0.5},
        {"projection_dim": 5},
        {"output_hidden_states": True},
        {"output_attentions": True},
    ],
    ids=str,
)
def test_what_changes_the_tower_changes_ours(folder: Path, change: dict[str, Any]) -> None:
    edit_json(folder / "config.json", lambda config: config["vision_config"].update(change))
    assert_as_hugging_face(folder)


@pytest.mark.parametrize("change", [{"return_dict": False}, {"output_attentions": True}], ids=str)
def test_how_a_model_answers_is_not_for_a_config_to_say(folder: Path, untrained: str, change: dict[str, Any]) -> None:
    def edit(config: dict[str, Any]) -> None:
        for part in (config, config["vision_config"], config["text_config"]):
            part.update(change)

    edit_json(folder / "clip" / "config.json", edit)
    # Other bytes, so that it does not share the tower's pass.
    edit_json(folder / "clip" / "preprocessor_config.json", lambda config: config.update(image_mean=0.5))
    as_it_was, changed = (EncoderSettings(model=untrained), EncoderSettings(model=str(folder)))
    tiles = torch.zeros(2, 3, 112, 112, dtype=torch.uint8).numpy()
    assert open_tower(changed).run(tiles).embedding.shape == (2, 32)
    ours, theirs = (open_embedder(settings).embed("What?") for settings in (changed, as_it_was))
    assert (ours == theirs).all()


def edit_config(folder: Path, key: str, value: Any) -> None:
    """``key`` by a path with dots."""

    def edit(config: dict[str, Any]) -> None:
        *parts, last = key.split(".")
        for part in parts:
            config = config[part]
        config[last] = value

    edit_json(folder / "config.json", edit)


REFUSED: list[tuple[str, Any, str]] = [
    ("vision_feature_layer", 99, "vision_feature_layer of its config is 99"),
    ("vision_feature_layer", -6, "vision_feature_layer of its config is -6; expected a layer, or a list"),
    ("vision_feature_layer", [-2, 40], "vision_feature_layer of its config is [-2, 40]"),
    ("vision_feature_layer", [], "vision_feature_layer of its config is []"),
    ("vision_feature_layer", "x", "vision_feature_layer"),
    ("vision_feature_layer", True, "vision_feature_layer"),
    ("vision_feature_layer", [True], "vision_feature_layer"),
    ("vision_feature_layer", None, "vision_feature_layer"),
    ("vision_feature_select_strategy", "full", "vision_feature_select_strategy"),
    ("vision_feature_select_strategy", "cls", "vision_feature_select_strategy"),
    ("projector_hidden_act", "swish2", "projector_hidden_act of its config is 'swish2'"),
    ("image_grid_pinpoints", [[224, 112]], "image_grid_pinpoints of its config, [[224, 112]]"),
    ("image_grid_pinpoints", "x", "image_grid_pinpoints"),
    ("vision_config", [], "vision_config"),
    ("vision_config", "clip", "vision_config"),
    ("vision_config.hidden_size", None, "'hidden_size' expected int, got NoneType"),
    ("vision_config.image_size", None, "vision_config.image_size of its config is None"),
    ("vision_config.image_size", [112, 112], "vision_config.image_size of its config is [112, 112]"),
    ("vision_config.image_size", 13, "0 x 0 patches a tile"),
    ("vision_config.image_size", 10**9, "patches a tile; served are 1 to 65536"),
    ("vision_config.patch_size", 0, "vision_config.patch_size of its config is 0"),
    ("vision_config.patch_size", -14, "vision_config.patch_size of its config is -14"),
    ("vision_config.num_channels", 4, "vision_config.num_channels of its config is 4; served is 3"),
    ("vision_config.num_hidden_layers", 0, "vision_config.num_hidden_layers of its config is 0"),
    (
        "vision_config.num_hidden_layers",
        10**9,
        "num_hidden_layers of its config is 1000000000; the limit",
    ),
    ("vision_config.num_attention_heads", 5, "not a multiple of the number of attention heads (5)"),
    ("vision_config.num_attention_heads", 0, "vision_config.num_attention_heads is 0"),
    ("vision_config.num_attention_heads", -4, "vision_config.num_attention_heads of its config is -4"),
    ("vision_config.hidden_size", -64, "vision_config.hidden_size of its config is -64"),
    ("vision_config.hidden_act", "swish2", "vision_config.hidden_act of its config is 'swish2'"),
    ("vision_config.layer_norm_eps", -1.0, "vision_config.layer_norm_eps of its config is -1.0"),
    ("vision_config.layer_norm_eps", float("inf"), "vision_config.layer_norm_eps of its config is inf"),
]


@pytest.mark.parametrize(("key", "value", "told"), REFUSED, ids=[f"{key}={value}" for key, value, _ in REFUSED])
def test_what_makes_no_tower_is_refused(folder: Path, key: str, value: Any, told: str) -> None:
    edit_config(folder, key, value)
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL=.*$") as caught:
        check(EncoderSettings(model=str(folder)))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("vision_config.num_hidden_layers", 0, "vision_config.num_hidden_layers of its config is 0"),
        ("vision_config.image_size", 224, "size={'shortest_edge': 112}: the tower takes 224 pixels"),
        ("text_config.hidden_act", "swish2", "text_config.hidden_act of its config is 'swish2'"),
        ("text_config.num_hidden_layers", -1, "text_config.num_hidden_layers of its config is -1"),
        ("text_config.max_position_embeddings", 0, "text_config.max_position_embeddings of its config is 0"),
        ("text_config.vocab_size", 300, "tokens, its config text_config.vocab_size 300"),
        (
            "text_config.eos_token_id",
            None,
            "text_config.eos_token_id of its config is None; expected the id of a token",
        ),
        ("text_config.eos_token_id", [], "text_config.eos_token_id of its config is []"),
        ("projection_dim", 0, "projection_dim of its config is 0"),
    ],
)
def test_nor_a_relevance_model(folder: Path, key: str, value: Any, told: str) -> None:
    edit_config(folder / "clip", key, value)
    with pytest.raises(SettingError, match=r"^HEROSERVE_RELEVANCE_MODEL=.*$") as caught:
        check(EncoderSettings(model=str(folder)))
    assert told in str(caught.value)
