"""Language models of many kinds: answered as Hugging Face's LLaVA-NeXT does, or refused by ``build``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.common.settings import SettingError
from services.llm import parts
from services.llm.settings import LlmSettings
from tests.support.mimics import QUESTION, assert_same, make, ours, theirs

# What is peculiar to each is what a wrong composition would get wrong. Entries are of its text_config.
KINDS: dict[str, dict[str, Any]] = {
    # Embeddings of text are scaled, of images not.
    "gemma": {"head_dim": 16},
    # The same; on its own it caps the head's logits, and attention's.
    "gemma2": {"head_dim": 16, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 20.0},
    # Embeddings of both are scaled, and on its own the head's logits are.
    "granite": {"embedding_multiplier": 3.0, "logits_scaling": 8.0, "residual_multiplier": 0.5},
    "cohere": {"logit_scale": 0.0625},
    # On its own its head has a bias.
    "phi": {},
    # Learned positions, and other names for the embeddings.
    "gpt2": {},
    "opt": {"word_embed_proj_dim": 64, "ffn_dim": 192},
    "gpt_neox": {},
    "falcon": {},
    # Experts, which transformers keeps otherwise than they are stored.
    "mixtral": {"num_local_experts": 4},
    "qwen3": {"head_dim": 16},
    "phi3": {},
    "stablelm": {},
    "olmo2": {},
    "starcoder2": {},
    "internlm3": {},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_answered_as_hugging_face_does(folder, kind):
    make(folder, "vicuna", {"model_type": kind, **KINDS[kind]})
    parts.check(LlmSettings(model=str(folder)))
    assert_same(await ours(folder, QUESTION, 6), theirs(folder, QUESTION, 6))


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("bart", "it is no decoder alone"),
        ("t5", "it generates no text|it is no decoder alone"),
        ("mamba", "it takes no past_key_values, position_ids"),
        ("bloom", "it takes no position_ids"),
        ("mpt", "it takes no position_ids"),
        ("clip_text_model", "it generates no text"),
        # Layers that keep a state in place of keys and values, and come first.
        ("recurrent_gemma", r"it does not run \(.*\)"),
        # Its heads' size is not the hidden size's share.
        ("helium", r"it does not run \(.*\)"),
        ("electra", "its embeddings have 128 values, its layers 64"),
    ],
)
def test_what_can_not_be_served_right_is_refused(folder, kind, problem):
    file = folder / "config.json"
    content = json.loads(file.read_text())
    content["text_config"] = {"model_type": kind, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 600}
    file.write_text(json.dumps(content))
    with pytest.raises(SettingError, match=rf"^HEROSERVE_MODEL='.*': its language model is a '{kind}'.*({problem})$"):
        parts.check(LlmSettings(model=str(folder)))


@pytest.mark.parametrize(
    "entries",
    [
        {"num_attention_heads": 0},
        {"num_attention_heads": 4, "head_dim": None, "num_key_value_heads": 0},
        {"hidden_size": -64},
        {"hidden_act": "no such"},
        {"num_hidden_layers": 10**8},
        {"vocab_size": -1},
        {"rope_parameters": {"rope_type": "no such"}},
        {"max_position_embeddings": None},
    ],
    ids=str,
)
def test_a_config_that_makes_no_model_is_refused(folder, entries):
    file = folder / "config.json"
    content = json.loads(file.read_text())
    content["text_config"] |= entries
    file.write_text(json.dumps(content))
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='[^\n]*$"):
        parts.check(LlmSettings(model=str(folder)))
