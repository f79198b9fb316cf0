"""The preprocessor config of a LLaVA-NeXT checkpoint, as Hugging Face's image processor writes it."""

from __future__ import annotations

import json
from pathlib import Path

from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil


def save_image_processor(folder: Path, tile: int, pinpoints: list[list[int]]) -> None:
    """For tiles of ``tile`` pixels and these (height, width) of grids."""
    side = {"height": tile, "width": tile}
    LlavaNextImageProcessorPil(
        size={"shortest_edge": tile}, crop_size=side, image_grid_pinpoints=pinpoints
    ).save_pretrained(folder)
    # A stable file: no library version, keys in order.
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2, sort_keys=True) + "\n")
