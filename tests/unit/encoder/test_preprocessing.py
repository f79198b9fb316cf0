"""A preprocessor config is followed as Hugging Face follows it, or refused at the start; no key of it is ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import AutoImageProcessor

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.encoder.images.pixels import pixel_table
from services.encoder.parts import check
from services.encoder.settings import EncoderSettings
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import edit_json, edit_weights
from tests.support.pictures import picture

FILE = "preprocessor_config.json"
POSITIONS = "vision_model.embeddings.position_embedding.weight"
MEAN, STD = "image_mean", "image_std"
# Long, tall, small, odd, and of one colour channel's worth of detail.
PICTURES = (Image.open("examples/scene.png").convert("RGB"), picture(333, 90), picture(61, 200), picture(7, 5))

SERVED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no normalisation": {"do_normalize": False},
    "no rescaling": {"do_rescale": False},
    "neither": {"do_rescale": False, "do_normalize": False},
    "another factor": {"rescale_factor": 1 / 127.5},
    "a factor of nothing that is not used": {"rescale_factor": None, "do_rescale": False},
    "nearest": {"resample": 0},
    "Lanczos": {"resample": 1},
    "bilinear": {"resample": 2},
    "box": {"resample": 4},
    "no filter and nothing to resize": {"resample": None, "do_resize": False},
    "sizes as numbers": {"size": 112, "crop_size": 112},
    "size as height and width": {"size": {"height": 112, "width": 112}},
    "size as a list": {"size": [112, 112]},
    "a longest edge": {"size": {"shortest_edge": 112, "longest_edge": 300}},
    "a square by default": {"size": 112, "default_to_square": True},
    "tiles of that size already": {"do_resize": False},
    "no crop": {"do_center_crop": False},
    "no crop of that size": {"do_center_crop": False, "crop_size": {"height": 112, "width": 50}},
    "no crop of no size": {"do_center_crop": False, "crop_size": None},
    "switched off by null": {"do_normalize": None, "do_resize": None, "do_center_crop": None},
    "no padding of batches": {"do_pad": False},
    "no conversion": {"do_convert_rgb": False},
    "mean and deviation as numbers": {MEAN: 0.5, STD: 0.25},
    "whole numbers": {MEAN: [0, 0, 0], STD: [1, 1, 1]},
    "a deviation below zero": {STD: -1},
    "means of nothing that are not used": {MEAN: None, STD: None, "do_normalize": False},
    "the name of before": {"image_processor_type": "LlavaNextImageProcessorFast"},
    "no name": {"image_processor_type": None},
}


def prepare(folder: Path, change: dict[str, Any], file: str = FILE) -> Checkpoint:
    edit_json(folder / file, lambda config: config.update(change))
    return Checkpoint(str(folder), "HEROSERVE_MODEL")


def assert_as_hugging_face(source: Checkpoint) -> None:
    tiler, table = AnyresTiler.of(source), pixel_table(source).numpy()
    processor = AutoImageProcessor.from_pretrained(source.name, backend="pil")
    for image in PICTURES:
        expected = np.asarray(processor(image, return_tensors="np")["pixel_values"][0], np.float32)
        tiles = tiler.cut(image, tiler.grid(*image.size))
        np.testing.assert_array_equal(table[np.arange(3)[:, None, None], tiles], expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SERVED)
def test_pixels_are_hugging_faces(folder: Path, name: str) -> None:
    assert_as_hugging_face(prepare(folder, SERVED[name]))


@pytest.mark.parametrize("key", ["image_mean", "image_std", "resample", "rescale_factor", "do_normalize"])
def test_what_is_not_said_is_hugging_faces_default(folder: Path, key: str) -> None:
    edit_json(folder / FILE, lambda config: config.pop(key))
    assert_as_hugging_face(Checkpoint(str(folder), "HEROSERVE_MODEL"))


def test_the_newer_file_goes_before_the_older(folder: Path) -> None:
    newer = json.loads((folder / FILE).read_text()) | {"resample": 0, MEAN: 0.5}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": newer}))
    source = Checkpoint(str(folder), "HEROSERVE_MODEL")
    assert AnyresTiler.of(source).resample == Image.Resampling.NEAREST
    assert_as_hugging_face(source)


def test_a_newer_file_of_other_things(folder: Path) -> None:
    (folder / "processor_config.json").write_text('{"patch_size": 14}')
    assert_as_hugging_face(prepare(folder, {"resample": 2}))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"resample": None}, "resample=None"),
    ({"resample": 99}, "resample=99"),
    ({"resample": "bicubic"}, "resample='bicubic'"),
    ({"resample": 3.0}, "resample=3.0"),
    ({"size": 224}, "size={'shortest_edge': 224}"),
    ({"size": 10**9}, "size={'shortest_edge': 1000000000}"),
    ({"size": None}, "size=None"),
    ({"size": "112"}, "size='112'"),
    ({"size": {}}, "size={}"),
    ({"size": {"height": 112, "width": 56}}, "size={'height': 112, 'width': 56}"),
    ({"size": {"shortest_edge": 112, "longest_edge": 100}}, "size={'longest_edge': 100, 'shortest_edge': 112}"),
    ({"size": {"longest_edge": 112}}, "size={'longest_edge': 112}"),
    ({"size": {"shortest_edge": None}}, "size={}"),
    ({"size": {"edge": 112}}, "size={'edge': 112}"),
    ({"size": [112]}, "size=[112]"),
    ({"crop_size": 224}, "crop_size={'height': 224, 'width': 224}"),
    ({"crop_size": None}, "crop_size=None"),
    ({"crop_size": {"height": 112, "width": 10**9}}, "crop_size={'height': 112, 'width': 1000000000}"),
    ({"crop_size": {"shortest_edge": 112}}, "crop_size={'shortest_edge': 112}"),
    ({MEAN: None}, "image_mean=None"),
    ({STD: None}, "image_std=None"),
    ({MEAN: [0.5]}, "image_mean=(0.5,)"),
    ({MEAN: [0.1, 0.2, 0.3, 0.4]}, "image_mean=(0.1, 0.2, 0.3, 0.4)"),
    ({MEAN: "half"}, "image_mean='half'"),
    ({MEAN: [[0.5] * 3] * 3}, "image_mean=([0.5, 0.5, 0.5]"),
    ({MEAN: float("nan")}, "image_mean=nan"),
    ({STD: 0}, "image_std=0"),
    ({STD: [0.2, 0, 0.2]}, "image_std=(0.2, 0, 0.2)"),
    ({STD: {}}, "image_std={}"),
    ({"rescale_factor": 0}, "rescale_factor=0"),
    ({"rescale_factor": 0, "do_normalize": False}, "rescale_factor=0: every pixel becomes the same"),
    ({"rescale_factor": 1e-30, "do_normalize": False}, "rescale_factor=1e-30: every pixel becomes the same"),
    ({"rescale_factor": float("nan")}, "rescale_factor=nan"),
    ({STD: float("inf")}, "image_std=inf: every pixel becomes the same"),
    ({STD: [0.2, 1e30, 0.2]}, "image_std=(0.2, 1e+30, 0.2): every pixel becomes the same"),
    ({STD: 1e-300}, "image_std=1e-300: pixels are not finite"),
    ({MEAN: 1e12}, "image_mean=1000000000000.0"),
    ({MEAN: [0.5, 0.5, 1e5]}, "image_mean=(0.5, 0.5, 100000.0)"),
    ({"rescale_factor": None}, "rescale_factor=None"),
    ({"rescale_factor": "1/255"}, "rescale_factor='1/255'"),
    ({"rescale_factor": 1e300}, "rescale_factor=1e+300"),
    ({"rescale_factor": 10**400}, "rescale_factor=1000"),
    ({"image_grid_pinpoints": "[(112, 224)]"}, "image_grid_pinpoints='[(112, 224)]'"),
    ({"image_grid_pinpoints": None}, "image_grid_pinpoints=None"),
    ({"image_grid_pinpoints": [[112.0, 224.0]]}, "image_grid_pinpoints=[[112.0, 224.0]]"),
    ({"image_grid_pinpoints": [[112, 224, 3]]}, "image_grid_pinpoints=[[112, 224, 3]]"),
    ({"image_grid_pinpoints": [[112_000_000, 112]]}, "the limit is 256 tiles"),
    ({"image_grid_pinpoints": [[112, 224]]}, "image_grid_pinpoints of its config"),
    ({"image_processor_type": "CLIPImageProcessor"}, "image_processor_type='CLIPImageProcessor'"),
    ({"image_processor_type": "MyImageProcessor"}, "image_processor_type='MyImageProcessor'"),
    ({"image_processor_type": 5}, "image_processor_type=5"),
    ({"auto_map": None}, "auto_map=None"),
    ({"pad_size": "large"}, "pad_size='large'"),
    ({"resize": True}, "resize=True"),
    ({"backend": "torch"}, "backend='torch'"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("change", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_what_is_not_served_is_refused_at_the_start(folder: Path, change: dict[str, Any], told: str) -> None:
    prepare(folder, change)
    with pytest.raises(SettingError) as caught:
        check(EncoderSettings(model=str(folder)))
    assert str(caught.value).startswith(f"HEROSERVE_MODEL={str(folder)!r}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("content", ["[]", "null", '"x"', "{", ""])
@pytest.mark.parametrize("file", [FILE, "processor_config.json"])
def test_files_that_hold_something_else(folder: Path, file: str, content: str) -> None:
    (folder / file).write_text(content)
    if file != FILE and content in ("[]", '"x"'):  # no image processor in there
        assert_as_hugging_face(Checkpoint(str(folder), "HEROSERVE_MODEL"))
        return
    problem = "is not JSON" if content in ("{", "") else "is not a JSON object but"
    with pytest.raises(SettingError, match=rf"^HEROSERVE_MODEL=.*: {file} {problem} .*$") as caught:
        check(EncoderSettings(model=str(folder)))
    assert "huggingface.co" not in str(caught.value)


def test_a_type_that_is_unknown_is_told_in_short(folder: Path) -> None:
    prepare(folder, {"image_processor_type": "X"})
    told = (
        rf"^HEROSERVE_MODEL={str(folder)!r}: its image processor has image_processor_type='X': transformers .{{,60}}$"
    )
    with pytest.raises(SettingError, match=told):
        check(EncoderSettings(model=str(folder)))


@pytest.mark.parametrize("file", [FILE, "processor_config.json"])
def test_a_file_that_only_stands_for_one_is_told_by_name(folder: Path, file: str) -> None:
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    with pytest.raises(SettingError, match=f"^HEROSERVE_MODEL=.*: {file} is a Git LFS pointer"):
        check(EncoderSettings(model=str(folder)))


def test_no_file(folder: Path) -> None:
    (folder / FILE).unlink()
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL=.*: it has no preprocessor_config\.json, nor"):
        check(EncoderSettings(model=str(folder)))


class TestRelevance:
    """The relevance model's own: tiles are what it is given."""

    @pytest.mark.parametrize(
        "change",
        [
            {"image_processor_type": "CLIPImageProcessor"},
            {"image_processor_type": None, "feature_extractor_type": "CLIPFeatureExtractor"},
            {"size": 112, "crop_size": 112},
            {"size": {"height": 112, "width": 112}},
            {"do_resize": False, "do_center_crop": False},
            {"image_grid_pinpoints": None},
            {MEAN: 0.5, STD: 0.5},
            {"do_normalize": False},
            # Tiles have its size, so there is nothing to resample.
            {"resample": 1},
        ],
        ids=str,
    )
    def test_served(self, folder: Path, change: dict[str, Any]) -> None:
        prepare(folder / "clip", change)
        check(EncoderSettings(model=str(folder), relevance_model=str(folder / "clip")))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"size": 128}, "size={'shortest_edge': 128}"),
            ({"crop_size": 56}, "crop_size={'height': 56, 'width': 56}"),
            ({"crop_size": None}, "crop_size=None"),
            ({"size": None}, "size=None"),
            ({"size": {"shortest_edge": 112, "longest_edge": 60}}, "size={'longest_edge': 60"),
            ({MEAN: None}, "image_mean=None"),
            ({STD: 0}, "image_std=0"),
            ({"image_processor_type": "Qwen2VLImageProcessor"}, "image_processor_type='Qwen2VLImageProcessor'"),
            ({"image_processor_type": "x"}, "image_processor_type='x'"),
        ],
        ids=str,
    )
    def test_refused(self, folder: Path, change: dict[str, Any], told: str) -> None:
        prepare(folder / "clip", change)
        with pytest.raises(SettingError, match=r"^HEROSERVE_RELEVANCE_MODEL=.*$") as caught:
            check(EncoderSettings(model=str(folder)))
        assert told in str(caught.value)

    @pytest.mark.parametrize(("key", "value"), [("resample", 1), ("resample", None), ("do_resize", False)])
    def test_how_its_pictures_become_smaller(self, folder: Path, key: str, value: object) -> None:
        # Patches of 14 pixels: 4 x 4 of them, and the tiles have 8 x 8.
        edit_weights(folder / "clip", lambda tensors: tensors.update({POSITIONS: tensors[POSITIONS][:17].clone()}))
        edit_json(folder / "clip" / "config.json", lambda config: config["vision_config"].update(image_size=56))
        prepare(folder / "clip", {"size": 56, "crop_size": 56})
        check(EncoderSettings(model=str(folder)))
        prepare(folder / "clip", {key: value})
        with pytest.raises(SettingError, match=f"^HEROSERVE_RELEVANCE_MODEL=.*{key}={value}"):
            check(EncoderSettings(model=str(folder)))

    def test_no_file(self, folder: Path) -> None:
        (folder / "clip" / FILE).unlink()
        with pytest.raises(SettingError, match=r"^HEROSERVE_RELEVANCE_MODEL=.*: it has no preprocessor_config\.json"):
            check(EncoderSettings(model=str(folder)))
