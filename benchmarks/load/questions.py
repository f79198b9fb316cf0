"""Questions with the answers that the service itself gave when nothing else was asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import heroserve
from heroserve.requests import ask_request
from models.world.questions import KINDS, ask
from models.world.render import as_png, render
from models.world.scene import sample_scene
from models.world.tiles import scene_grid

OPTIONS: heroserve.GenerateOptions = {"retention": 0.2, "max_tokens": 16}


@dataclass(frozen=True)
class Known:
    """A question about a picture, and the text that answers it: greedy, so that every other text is wrong.

    ``request`` is the question as it goes over the wire, a serialised ``GenerateRequest``.
    """

    image: bytes
    question: str
    answer: str
    request: bytes


def known_questions(client: heroserve.Client, scenes: int) -> list[Known]:
    """A question of each kind about each of the first scenes of the test split; their pictures are cached then."""
    found = []
    for index in range(scenes):
        scene = sample_scene("test", index)
        image = as_png(render(scene))
        for kind in KINDS:
            question = ask(kind, scene, scene_grid(scene), np.random.default_rng((index, 0)))
            if question is not None:
                answer = client.ask(image, question.text, **OPTIONS)
                request = ask_request(image, question.text, **OPTIONS).SerializeToString()
                found.append(Known(image, question.text, answer.text, request))
    return found
