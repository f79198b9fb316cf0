"""Whole answers about images, equal to Hugging Face's, on checkpoints made like the published ones."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from services.llm import parts
from services.llm.settings import LlmSettings
from tests.support.llm_parts import edit
from tests.support.mimics import LATER, MIMICS, QUESTION, TURNS, assert_same, make, ours, theirs


@pytest.mark.parametrize(
    "generation", [{}, {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2}], ids=["", "penalty"]
)
@pytest.mark.parametrize("kind", MIMICS)
async def test_answers_are_hugging_faces(folder, kind, generation):
    make(folder, kind)
    if generation:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    parts.check(LlmSettings(model=str(folder)))
    for turns in (QUESTION, TURNS, LATER):
        assert_same(await ours(folder, turns, 12), theirs(folder, turns, 12))


# Each rounds in its own places: CLS rows are recorded beside the tower's own attention.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.15), (torch.float16, 0.03)], ids=str)
@pytest.mark.parametrize("kind", ["vicuna", "qwen"])
async def test_in_half_precision_too(folder, kind, dtype, tolerance):
    make(folder, kind)
    mine = await ours(folder, TURNS, 8, dtype)
    assert_same(mine, theirs(folder, TURNS, 8, dtype), tolerance)
    # Another dtype's are further off than that, or this would say nothing.
    exact = theirs(folder, TURNS, 1).logits[0]
    assert not torch.equal(mine.logits[0], exact)


@pytest.mark.parametrize("layers", [[-2], [-3, -2], [1, 4, 2]], ids=str)
async def test_features_of_several_layers(folder, layers):
    make(folder, "vicuna", vision_feature_layer=layers)
    parts.check(LlmSettings(model=str(folder)))
    assert_same(await ours(folder, QUESTION, 8), theirs(folder, QUESTION, 8))


def published(name: str) -> str:
    """As transformers 4 wrote them, and the published checkpoints are."""
    return name.replace("vision_tower.", "vision_tower.vision_model.")


def in_memory(name: str) -> str:
    """As transformers 5 names them."""
    for before, after in (("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head.")):
        if name.startswith(before):
            return after + name.removeprefix(before)
    if name.startswith(("vision_tower.", "multi_modal_projector.", "image_newline")):
        return "model." + name
    return name


@pytest.mark.parametrize("sharded", [False, True], ids=["single", "sharded"])
@pytest.mark.parametrize("style", [published, in_memory])
async def test_every_way_to_lie_on_disk(folder, style, sharded):
    make(folder, "mistral")
    names = {style(name) for name in load_file(folder / "model.safetensors")}
    assert ("lm_head.weight" in names) == (style is in_memory)
    assert any(name.startswith("vision_tower.vision_model.") for name in names) == (style is published)
    expected = theirs(folder, QUESTION, 8)

    def shard(name: str) -> str:
        """Tensors of tower and language model side by side."""
        return f"model-0000{1 + len(name) % 3}-of-00003.safetensors"

    edit(folder, rename=style, shards=shard if sharded else None)
    parts.check(LlmSettings(model=str(folder)))
    assert_same(await ours(folder, QUESTION, 8), expected)
    assert_same(expected, theirs(folder, QUESTION, 8))


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@pytest.mark.parametrize(
    "place", ["generation", "text", "config", "text under generation", "text under config", "tokenizer"]
)
async def test_where_an_answer_ends(folder, place, several):
    """Wherever that stands Hugging Face's ``generate`` decides whether it counts; a tokenizer's own never does."""
    make(folder, "yi")
    edit(folder, text_config={"eos_token_id": None})
    (folder / "generation_config.json").unlink(missing_ok=True)
    plain = theirs(folder, QUESTION, 10).tokens
    end = next(token for index, token in enumerate(plain) if index > 1 and token not in plain[:index])
    eos = [200, end] if several else end
    match place:
        case "generation":
            (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
        case "text":
            edit(folder, text_config={"eos_token_id": eos})
        case "config":
            edit(folder, config={"eos_token_id": eos})
        case "text under generation":
            edit(folder, text_config={"eos_token_id": plain[1]})
            (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
        case "text under config":
            edit(folder, text_config={"eos_token_id": plain[1]}, config={"eos_token_id": eos})
        case "tokenizer":
            file = folder / "tokenizer_config.json"
            content = json.loads(file.read_text())
            vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
            token = next(token for token, number in vocabulary.items() if number == end)
            file.write_text(json.dumps(content | {"eos_token": token}))
    parts.check(LlmSettings(model=str(folder)))
    expected = theirs(folder, QUESTION, 10)
    assert_same(await ours(folder, QUESTION, 10), expected)
    assert (len(expected.tokens) < 10) == (place != "tokenizer")


async def test_an_answer_ends_though_the_generation_config_does_not_say_where(folder):
    """As far as there Hugging Face's is the same; it goes on, behind the token that ends it."""
    make(folder, "yi")
    plain = theirs(folder, QUESTION, 10)
    edit(folder, text_config={"eos_token_id": plain.tokens[0]}, generation={"bos_token_id": 1})
    assert theirs(folder, QUESTION, 10).tokens == plain.tokens
    assert (await ours(folder, QUESTION, 10)).tokens == plain.tokens[:1]


@pytest.mark.parametrize("kind", ["vicuna", "qwen"])
async def test_a_head_that_is_the_embeddings(folder, kind):
    make(folder, kind, tie_word_embeddings=True)
    assert not [name for name in load_file(folder / "model.safetensors") if "lm_head" in name]
    parts.check(LlmSettings(model=str(folder)))
    assert_same(await ours(folder, QUESTION, 8), theirs(folder, QUESTION, 8))
