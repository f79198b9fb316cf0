"""Which family a checkpoint is of.

To add one: a folder with ``vision.py`` and ``language.py``, each with an ``open_half(source)`` that gives its half, and
its ``model_type`` below. ``family.py`` says what the halves are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from services.common.checkpoint import Checkpoint
from services.common.model_type import checked_model_type
from services.common.weights.quantised import refuse_quantised
from services.families.family import LanguageHalf, VisionHalf

# A checkpoint's model_type to the folder of its family.
FAMILIES = {"llava_next": "llava_next", "internvl": "internvl"}
# InternVL was published in a form of its own before, which is code.
_SERVED = f"served are {', '.join(FAMILIES)} (of InternVL what is in Hugging Face's form, by names that end in -hf)"


def vision_half(source: Checkpoint) -> VisionHalf:
    """What the encoder needs to know of a checkpoint.

    Raises:
        SettingError: it is of a family, or of a variant, that is not served.
    """
    return cast("VisionHalf", _half(source, "vision"))


def language_half(source: Checkpoint) -> LanguageHalf:
    """What the LLM service needs to know of a checkpoint.

    Raises:
        SettingError: it is of a family, or of a variant, that is not served.
    """
    return cast("LanguageHalf", _half(source, "language"))


def _half(source: Checkpoint, half: str) -> object:
    folder = FAMILIES[checked_model_type(source, FAMILIES, _SERVED)]
    refuse_quantised(source)
    # By name: the other half's modules stay out of this process.
    return import_module(f"services.families.{folder}.{half}").open_half(source)
