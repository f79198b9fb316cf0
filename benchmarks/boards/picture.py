"""A dashboard's picture as a file, which says of which panels it is."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

_PANELS = "heroserve panels"
# A repository keeps every version of it.
_COLORS = 256


def of_panels(board: Mapping[str, Any]) -> dict[str, str]:
    """By title and place, a digest of all that is drawn of a panel; its description is shown on asking, and is not."""
    told = {}
    for panel in board["panels"]:
        drawn = {key: value for key, value in panel.items() if key != "description"}
        digest = hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()
        told[f"{panel['id']} {panel['title']}"] = digest[:16]
    return told


def save(figure: Figure, board: Mapping[str, Any], path: Path) -> None:
    """As a PNG of few colours."""
    whole = io.BytesIO()
    figure.savefig(whole, format="png", dpi=figure.dpi, metadata={"Software": None}, facecolor=figure.get_facecolor())
    about = PngInfo()
    about.add_text(_PANELS, json.dumps(of_panels(board)))
    with Image.open(whole) as image:
        few = image.convert("RGB").quantize(_COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    few.save(path, optimize=True, pnginfo=about)


def drawn(path: Path) -> dict[str, str]:
    """What ``of_panels`` said of the dashboard that a picture is of.

    Raises:
        OSError: it can't be read.
        KeyError: it is no picture of ours.
    """
    with Image.open(path) as image:
        image.load()
        told: dict[str, str] = json.loads(image.text[_PANELS])  # type: ignore[attr-defined]
    return told
