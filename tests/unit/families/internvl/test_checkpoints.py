"""Which InternVL checkpoints are served, and which are refused at the start, in a line that says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.encoder.images.pixels import pixel_table
from services.encoder.parts import check_models
from services.encoder.settings import EncoderSettings
from services.families.internvl.tiles import DynamicTiler
from services.families.registry import language_half
from services.llm import parts
from services.llm.settings import LlmSettings
from tests.support.encoder_parts import edit_json
from tests.support.llm_parts import Language
from tests.support.pictures import picture

CONFIG, PROCESSOR, TOKENIZER = "config.json", "preprocessor_config.json", "tokenizer_config.json"
PICTURES = (picture(333, 90), picture(61, 200), picture(112, 112), picture(7, 5))


@pytest.fixture
def folder(model: Callable[..., Any], tmp_path: Path) -> Path:
    """A copy of a checkpoint, for a test to change."""
    return shutil.copytree(model("1b").folder, tmp_path / "model")


def checked(folder: Path) -> None:
    """Both services' checks before they start."""
    check_models(EncoderSettings(model=str(folder)))
    parts.check(LlmSettings(model=str(folder)))


SERVED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "whatever crop_to_patches says": {"crop_to_patches": True},
    "never cut": {"max_patches": 1},
    "two at least": {"min_patches": 2},
    "six, no fewer": {"min_patches": 6, "max_patches": 6},
    "many": {"max_patches": 40},
    "bilinear": {"resample": 2},
    "not to be resized, and resized all the same": {"do_resize": False},
    "no normalisation": {"do_normalize": False},
    "a crop that nobody makes": {"do_center_crop": True, "crop_size": {"height": 50, "width": 50}},
    "all that published files have": {
        **dict.fromkeys(("crop_size", "do_center_crop", "do_pad", "pad_size", "device", "input_data_format")),
        **dict.fromkeys(("disable_grouping", "return_tensors")),
        "data_format": "channels_first",
        "default_to_square": True,
        "processor_class": "InternVLProcessor",
        "image_processor_type": "GotOcr2ImageProcessorFast",
    },
    "the name of before": {"image_processor_type": "GotOcr2ImageProcessorFast"},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SERVED)
def test_pixels_are_hugging_faces(folder: Path, name: str) -> None:
    edit_json(folder / PROCESSOR, lambda config: config.update(SERVED[name]))
    source = Checkpoint(str(folder), "HEROSERVE_MODEL")
    tiler, table = DynamicTiler.of(source), pixel_table(source).numpy()
    processor = GotOcr2ImageProcessorPil.from_pretrained(folder)
    for image in PICTURES:
        made = processor(image, crop_to_patches=True, return_tensors="np")["pixel_values"]
        tiles = tiler.cut(image, tiler.grid(*image.size))
        assert len(tiles) <= tiler.max_tiles
        ours = table[np.arange(3)[:, None, None], tiles]
        np.testing.assert_array_equal(np.roll(ours, -1, 0), np.asarray(made, np.float32))


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        PROCESSOR,
        {"size": {"height": 224, "width": 224}},
        "size={'height': 224, 'width': 224}: the tower takes 112 pixels",
    ),
    (PROCESSOR, {"size": {"height": 112, "width": 56}}, "the tower takes 112 pixels"),
    (PROCESSOR, {"size": {"shortest_edge": 112}}, "size={'shortest_edge': 112}: the tower takes 112 pixels"),
    (PROCESSOR, {"max_patches": 0}, "max_patches=0: expected a number of tiles, 1 to 256"),
    (PROCESSOR, {"max_patches": 257}, "max_patches=257: expected a number of tiles, 1 to 256"),
    (PROCESSOR, {"max_patches": "12"}, "max_patches='12'"),
    (PROCESSOR, {"min_patches": 13}, "min_patches=13, max_patches=12: no number of tiles is both"),
    (PROCESSOR, {"resample": 99}, "resample=99"),
    (PROCESSOR, {"image_processor_type": "CLIPImageProcessor"}, "served is GotOcr2ImageProcessor"),
    (CONFIG, {"vision_feature_layer": [-1, -2]}, "vision_feature_layer of its config is [-1, -2]; expected one layer"),
    (CONFIG, {"vision_feature_layer": 5}, "vision_feature_layer of its config is 5; expected one layer, from -5 to 4"),
    (CONFIG, {"vision_feature_select_strategy": "full"}, "vision_feature_select_strategy must be 'default'"),
    (CONFIG, {"downsample_ratio": 0.3}, "downsample_ratio of its config is 0.3; served are 1, 0.5"),
    (CONFIG, {"projector_hidden_act": "nothing"}, "projector_hidden_act of its config is 'nothing'"),
    (CONFIG, {"vision_config.image_size": [112, 126]}, "vision_config.image_size of its config is [112, 126]"),
    (CONFIG, {"vision_config.image_size": [126, 126]}, "9 patches along a side of a tile"),
    (CONFIG, {"vision_config.patch_size": [0, 0]}, "vision_config.patch_size of its config is [0, 0]"),
    (CONFIG, {"vision_config.norm_type": "group_norm"}, "vision_config.norm_type of its config is 'group_norm'"),
    (CONFIG, {"vision_config.num_attention_heads": 5}, "is no multiple of num_attention_heads, 5"),
    (CONFIG, {"vision_config.use_qk_norm": True}, "k_norm.weight [64] is missing"),
    (CONFIG, {"vision_config.num_hidden_layers": 3}, "vision_tower.encoder.layer.3"),
    (CONFIG, {"vision_config.hidden_dropout_prob": float("nan")}, "vision_config.hidden_dropout_prob of its config is"),
    (CONFIG, {"image_token_id": 10**19}, "its config names is 10000000000000000000; expected a token's id"),
    (CONFIG, {"image_token_id": 8}, "context_image_token is '<IMG_CONTEXT>'"),
    (TOKENIZER, {"start_image_token": None}, "its tokenizer has no start_image_token"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("file", "change", "told"), REFUSED, ids=str)
def test_what_is_not_served(folder: Path, file: str, change: dict[str, Any], told: str) -> None:
    def edit(config: dict[str, Any]) -> None:
        for name, value in change.items():
            *outer, key = name.split(".")
            (config[outer[0]] if outer else config)[key] = value

    edit_json(folder / file, edit)
    with pytest.raises(SettingError) as refused:
        checked(folder)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"HEROSERVE_MODEL={str(folder)!r}: ")
    assert told in line


def renamed(name: str) -> str:
    """As transformers has had it since its fifth version."""
    if name.startswith("language_model.lm_head."):
        return name.removeprefix("language_model.")
    return "model." + name.replace("language_model.model.", "language_model.")


def test_newer_names_are_as_good(model: Callable[..., Any], folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    assert {name.partition(".")[0] for name in tensors} == {"language_model", "vision_tower", "multi_modal_projector"}
    save_file(
        {renamed(name): tensor for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    checked(folder)
    row = torch.randn(1, 256)
    again, ours = Language(folder), model("1b").language
    assert torch.equal(again.splicer.project(row), ours.splicer.project(row))
    assert torch.equal(again.table.weight, ours.table.weight)


@pytest.mark.parametrize("said", [True, None], ids=["said to be tied", "nothing said"])
def test_a_head_that_is_stored_is_read(model: Callable[..., Any], folder: Path, said: bool | None) -> None:
    """transformers takes a config that says nothing for one that ties them."""

    def edit(config: dict[str, Any]) -> None:
        config.pop("tie_word_embeddings")
        if said is not None:
            config["tie_word_embeddings"] = said

    edit_json(folder / CONFIG, edit)
    from tests.reference_internvl import InternVLReference

    head = Language(folder).engine.model.lm_head.weight
    assert torch.equal(head, InternVLReference(folder).model.lm_head.weight)
    assert not torch.equal(head, model("1b").language.table.weight)


def test_without_a_head_it_is_the_embeddings(folder: Path) -> None:
    edit_json(folder / CONFIG, lambda config: config.update(tie_word_embeddings=True))
    tensors = load_file(folder / "model.safetensors")
    del tensors["language_model.lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    language = Language(folder)
    assert torch.equal(language.engine.model.lm_head.weight, language.table.weight)


def test_its_own_published_form_is_refused(folder: Path) -> None:
    edit_json(folder / CONFIG, lambda config: config.update(model_type="internvl_chat"))
    for check in (check_models, parts.check):
        settings: Any = EncoderSettings if check is check_models else LlmSettings
        with pytest.raises(
            SettingError, match=r"it is a 'internvl_chat' checkpoint; served .* by names that end in -hf"
        ):
            check(settings(model=str(folder)))


def test_tokens_that_are_named_as_they_were_published(model: Callable[..., Any], folder: Path) -> None:
    names = ("start_image_token", "end_image_token", "context_image_token", "video_token")
    edit_json(
        folder / TOKENIZER,
        lambda config: config.update(extra_special_tokens={name: config.pop(name) for name in names}),
    )
    half = language_half(Checkpoint(str(folder), "HEROSERVE_MODEL"))
    assert half.image_bounds == ("<img>", "</img>")


def test_a_newer_file_has_the_preprocessing(folder: Path) -> None:
    own = json.loads((folder / PROCESSOR).read_text()) | {"max_patches": 4}
    edit_json(folder / "processor_config.json", lambda config: config.update(image_processor=own))
    assert DynamicTiler.of(Checkpoint(str(folder), "HEROSERVE_MODEL")).max_tiles == 5
