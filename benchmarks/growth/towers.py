"""Shapes of towers that time is measured on; their weights are random, for time does not depend on what they say."""

from __future__ import annotations

from transformers import CLIPVisionConfig

from models.untrained import TOWER
from models.untrained_shapes import CLIP_L

TOWERS = {
    "tiny": TOWER,
    # 86 million parameters.
    "base": CLIPVisionConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        image_size=224,
        patch_size=14,
        projection_dim=512,
    ),
    "clip-l": CLIP_L,
}
