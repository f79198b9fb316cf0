"""The preprocessor config of a checkpoint, as Hugging Face's image processor of its family writes it."""

from __future__ import annotations

import json
from pathlib import Path

from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

# InternVL's; LLaVA-NeXT has CLIP's.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def save_image_processor(folder: Path, tile: int, pinpoints: list[list[int]]) -> None:
    """LLaVA-NeXT's, for tiles of ``tile`` pixels and these (height, width) of grids."""
    side = {"height": tile, "width": tile}
    LlavaNextImageProcessorPil(
        size={"shortest_edge": tile}, crop_size=side, image_grid_pinpoints=pinpoints
    ).save_pretrained(folder)
    _settle(folder)


def save_dynamic_processor(folder: Path, tile: int, most: int, tokens: int) -> None:
    """InternVL's, for up to ``most`` local tiles of ``tile`` pixels, ``tokens`` each."""
    GotOcr2ImageProcessorPil(
        size={"height": tile, "width": tile},
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
        # What the published files say, and what InternVL's processor overrules.
        crop_to_patches=False,
        min_patches=1,
        max_patches=most,
    ).save_pretrained(folder)
    _settle(folder)
    told = {"image_seq_length": tokens, "processor_class": "InternVLProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(told, indent=2) + "\n")


def _settle(folder: Path) -> None:
    """A stable file: no library version, keys in order."""
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2, sort_keys=True) + "\n")
