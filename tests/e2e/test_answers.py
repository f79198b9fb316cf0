"""The bundled model reads pictures it has never seen, through the real services, with all tokens and with a fifth."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

import heroserve
from models.world.questions import KINDS, Question, ask
from models.world.render import render
from models.world.scene import sample_scene
from models.world.tiles import scene_grid
from scripts.stack import Stack

SCENES = 20
# Under what docs/accuracy.md measures on thousands of questions, by more than the spread of a hundred.
FLOOR = {1.0: 0.85, 0.2: 0.8}


@dataclass(frozen=True)
class Asked:
    scene: int
    image: bytes
    question: Question


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    """Each kind of question about each of the first scenes of the test split."""
    found = []
    for index in range(SCENES):
        scene = sample_scene("test", index)
        buffer = io.BytesIO()
        Image.fromarray(render(scene)).save(buffer, "PNG")
        for kind in KINDS:
            question = ask(kind, scene, scene_grid(scene), np.random.default_rng((index, 0)))
            if question is not None:
                found.append(Asked(index, buffer.getvalue(), question))
    return found


@pytest.fixture(scope="module")
def client(bundled: Stack) -> Iterator[heroserve.Client]:
    with heroserve.Client(f"localhost:{bundled.ports.llm}", timeout_s=60) as client:
        yield client


@pytest.mark.parametrize("retention", FLOOR)
def test_answers_about_unseen_scenes(client: heroserve.Client, asked: list[Asked], retention: float):
    assert len(asked) > 100
    wrong = []
    for each in asked:
        answer = client.ask(each.image, each.question.text, retention=retention, max_tokens=4)
        assert answer.finish_reason == "stop"
        kept = answer.savings.kept / answer.savings.total
        assert kept == 1 if retention == 1 else kept <= retention
        if answer.text != each.question.answer:
            wrong.append(f"scene {each.scene}: {each.question.text} {answer.text!r}, not {each.question.answer!r}")
    right = 1 - len(wrong) / len(asked)
    assert right >= FLOOR[retention], "\n".join(wrong)


def test_the_picture_decides_and_not_the_question(client: heroserve.Client, asked: list[Asked]):
    """Blind guessing would pass no floor: with another scene's picture the answers are mostly wrong."""
    questions = [each for each in asked if each.question.kind in ("character", "pair")]
    other = questions[1:] + questions[:1]
    right = sum(
        client.ask(picture.image, each.question.text, retention=1.0, max_tokens=4).text == each.question.answer
        for each, picture in zip(questions, other, strict=True)
        if picture.scene != each.scene
    )
    assert right <= 0.4 * len(questions)


def test_the_order_of_text_and_picture_does_not_matter(client: heroserve.Client, asked: list[Asked]):
    """OpenAI's clients send the text first."""
    for each in asked[:10]:
        message = heroserve.user(each.question.text, each.image)
        message.parts.reverse()
        assert message.parts[0].text
        behind = client.generate(heroserve.generate_request([message], retention=1.0, max_tokens=4)).read()
        assert behind.text == client.ask(each.image, each.question.text, retention=1.0, max_tokens=4).text
