"""The bundled test set for clients that read files: pictures and questions with their one right answer."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.world.questions import KINDS, ask
from models.world.render import render
from models.world.scene import sample_scene
from models.world.tiles import scene_grid


def write(path: Path, scenes: int, image: str = "image", text: str = "question", *, url: bool = False) -> int:
    """A line of JSON for each kind of question about each of the first scenes of the test split; how many there are.

    Args:
        path: of the lines; the pictures are written beside them.
        scenes: how many.
        image, text: what the keys are called.
        url: pictures stand in the lines themselves.
    """
    lines: list[dict[str, Any]] = []
    for index in range(scenes):
        scene = sample_scene("test", index)
        buffer = io.BytesIO()
        Image.fromarray(render(scene)).save(buffer, "PNG")
        file = path.parent / f"{index}.png"
        file.write_bytes(buffer.getvalue())
        where = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode() if url else str(file)
        for kind in KINDS:
            question = ask(kind, scene, scene_grid(scene), np.random.default_rng((index, 0)))
            if question is not None:
                lines.append({image: where, text: question.text, "answer": question.answer})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return len(lines)
