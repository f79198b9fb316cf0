"""What a checkpoint's card says that it can be asked: the texts of its `widget`, as on Hugging Face's hub."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from services.common.checkpoint import Checkpoint
from services.common.shown import assigned, first_line

CARD = "README.md"
# A card is prose, and bounds nothing by itself.
_LONGEST = 1 << 20
_MOST = 8
_MOST_CHARS = 200

# Of files, YAML, and the library that makes objects of what it says.
_FAILURES = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError)

logger = logging.getLogger(__name__)


def examples(source: Checkpoint) -> tuple[str, ...]:
    """Up to eight questions, each a line of up to 200 characters; none where no card is at hand, or it names none.

    A card that can't be read is a line in the log: no answer depends on it.
    """
    try:
        path = source.snapshot.at_hand(CARD)
        return _texts(path) if path is not None else ()
    except _FAILURES as error:
        logger.warning("%s: its %s can't be read: %s", assigned(source.variable, source.name), CARD, first_line(error))
        return ()


def _texts(path: Path) -> tuple[str, ...]:
    with path.open("rb") as file:
        card = file.read(_LONGEST).decode("utf-8", "replace")
    if not card.startswith("---"):
        return ()
    metadata: Any = ModelCard(card, ignore_metadata_errors=True).data
    widget = metadata.to_dict().get("widget")
    texts = [each.get("text") for each in widget if isinstance(each, dict)] if isinstance(widget, list) else []
    return tuple(
        text
        for text in texts
        if isinstance(text, str) and text.isprintable() and 0 < len(text.strip()) <= len(text) <= _MOST_CHARS
    )[:_MOST]
