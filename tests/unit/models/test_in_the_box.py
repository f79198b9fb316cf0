"""The models in the box: small enough for it, whole, and able to answer what their cards say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image
from transformers import AutoProcessor, LlavaNextForConditionalGeneration

from scripts.explained import QUESTION, SCENE, explain
from services.common.checkpoint import Checkpoint
from services.llm.card import examples

ROOT = Path(__file__).resolve().parents[3]
MODELS = sorted(path.parent for path in (ROOT / "models").glob("*/config.json"))


@pytest.fixture(params=MODELS, ids=lambda path: path.name)
def model(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_one_of_each_family():
    assert [model.name for model in MODELS] == ["heroserve-tiny", "internvl-tiny"]


def test_it_is_small_and_says_what_it_can_be_asked(model: Path):
    assert sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) < 40 << 20
    asked = examples(Checkpoint(str(model), "HEROSERVE_MODEL"))
    assert asked[0] == QUESTION
    assert sum("code" in question for question in asked) == 2


def test_a_fifth_of_its_tokens_are_enough_for_the_demo(model: Path):
    answer, kept = asyncio.run(explain(SCENE.read_bytes(), QUESTION, 0.2, str(model)))
    # The question names the star: of its tile most is kept, of others little.
    *others, star = sorted(len(tile.positions) for tile in kept.tiles)
    assert star > 2 * others[-1]
    assert answer.strip() == "T"


def test_hugging_faces_own_classes_answer_by_its_files_alone():
    """InternVL's processor wants torchvision, which is not here."""
    folder = ROOT / "models/heroserve-tiny"
    processor = AutoProcessor.from_pretrained(folder)
    model = LlavaNextForConditionalGeneration.from_pretrained(folder)
    said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = processor.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    with Image.open(SCENE) as picture:
        prompt = processor(images=picture, text=text, return_tensors="pt")
    made = model.generate(**prompt, max_new_tokens=4)[0, prompt.input_ids.shape[1] :]
    assert processor.decode(made, skip_special_tokens=True) == "T"
