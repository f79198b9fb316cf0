"""What dropped tokens saved is counted as the model itself would count it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from services.llm.cost import PromptCost
from tests.support.llm_parts import Language, edit


@torch.inference_mode()
def counted(model: Any, tokens: int) -> tuple[int, int]:
    """FLOPs of one prefill without the head: in projections, and in attention where every token sees every other."""
    body = copy.deepcopy(model.model)
    body.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        body(inputs_embeds=torch.zeros(1, tokens, body.config.hidden_size), use_cache=False)
    # "bmm" is attention: the projections are matrix times matrix.
    attention = int(counter.get_flop_counts()["Global"].get(torch.ops.aten.bmm, 0))
    return counter.get_total_flops() - attention, attention


@pytest.mark.parametrize("tokens", [256, 1024])
def test_flops_are_those_of_a_prefill(engine, tokens):
    projections, attention = counted(engine.model, tokens)
    cost = engine.cost
    # Norms count as weights here and not there.
    assert 2 * cost.matmul_parameters * tokens == pytest.approx(projections, rel=0.01)
    # Causal attention is half of the square. Rotary embeddings are among what was counted.
    assert cost.flops(tokens) == pytest.approx(projections + attention / 2, rel=0.02)
    by_attention = cost.flops(tokens) - 2 * cost.matmul_parameters * tokens
    assert by_attention == pytest.approx(attention / 2, rel=0.05)


def test_a_model_by_hand(engine):
    # 64 wide; 4 heads and 2 for keys and values, of 16; 192 between; 2 layers; a norm before each half, one at last.
    layer = 64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 192 + 2 * 64
    cost = engine.cost
    assert cost == PromptCost(2 * layer + 64, 2, 64, 2 * 2 * 2 * 16 * 4)
    assert cost.flops(100) == 2 * (2 * layer + 64) * 100 + 2 * 2 * 64 * 100**2
    assert cost.flops(0) == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kv_bytes_are_those_of_the_cache(untrained, dtype):
    engine = Language(untrained, dtype=dtype).engine
    cache = DynamicCache(config=engine.model.config)
    with torch.inference_mode():
        engine.model(input_ids=torch.arange(50, 67)[None], past_key_values=cache, use_cache=True)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 17 * engine.cost.kv_bytes


def test_a_tied_head_is_not_subtracted_twice(folder, engine):
    tied = {"tie_word_embeddings": True}
    edit(folder, config=tied, text_config=tied, rename=lambda name: None if "lm_head" in name else name)
    assert Language(folder).engine.cost == engine.cost
