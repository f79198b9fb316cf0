"""HEROSERVE_VLLM_ARGS as vLLM itself reads it: what it does not know, and what is not for it, is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.families.registry import language_half
from services.llm.engines.registry import check_engine, ongoing
from services.llm.engines.vllm.arguments import parse, words
from services.llm.engines.vllm.usual import engine_arguments, slots
from services.llm.settings import LlmSettings
from tests.support.llm_parts import edit
from tests.support.vllm_parts import shaped


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--no-such-setting 3", "vLLM does not take it"),
        ("--max-num-seqs many", "vLLM does not take it"),
        ('{"sequences": 3}', "vLLM does not take it"),
        ("--max-num-seqs", "vLLM does not take it"),
        ("--model other", "model is not to be set here; it loads the language model of HEROSERVE_MODEL"),
        ("--tokenizer=other", "tokenizer is not to be set here"),
        ("--no-enable-prompt-embeds", "enable_prompt_embeds is not to be set here; images come as embeddings"),
        ('{"skip_tokenizer_init": true}', "skip_tokenizer_init is not to be set here"),
        ("--dtype half", "dtype is not to be set here; HEROSERVE_DTYPE says it"),
        ("-tp 2", "tensor_parallel_size is not to be set here; Ray places a replica"),
        ("--data-parallel-size 2", "data_parallel_size is not to be set here"),
        ("--generation-config auto", "generation_config is not to be set here"),
        ("--config /etc/passwd", "name vLLM's settings themselves"),
        ("--help", "name vLLM's settings themselves"),
    ],
)
def test_what_can_not_be_set_is_told_in_a_line(line: str, told: str):
    with pytest.raises(SettingError) as refused:
        parse(words(line))
    (told_as,) = str(refused.value).splitlines()
    assert told_as.startswith("HEROSERVE_VLLM_ARGS=")
    assert told in told_as


def test_what_is_given_goes_before_what_is_usual(untrained: str):
    config = language_half(Checkpoint(untrained, "HEROSERVE_MODEL")).config
    usual = engine_arguments((), config, "cpu", torch.float32, tensor_parallel=1)
    assert (usual["max_num_seqs"], usual["enforce_eager"], usual["dtype"]) == (256, True, "float32")
    assert "tensor_parallel_size" not in usual
    given = words("--max-num-seqs 8 --no-enforce-eager --kv-cache-memory-bytes 1G --seed 3")
    changed = engine_arguments(given, config, "cpu", torch.bfloat16, tensor_parallel=2)
    assert (changed["max_num_seqs"], changed["enforce_eager"], changed["seed"]) == (8, False, 3)
    assert changed["kv_cache_memory_bytes"] in (10**9, 1 << 30)
    assert (changed["dtype"], changed["tensor_parallel_size"]) == ("bfloat16", 2)
    on_gpus = engine_arguments((), config, "cuda", torch.bfloat16, tensor_parallel=1)
    assert on_gpus.keys() == {"max_num_seqs", "dtype"}


def test_limits_follow_the_engine():
    assert (slots(()), ongoing(LlmSettings(engine="vllm"))) == (256, 512)
    given = ("--max-num-seqs", "40")
    assert (slots(given), ongoing(LlmSettings(engine="vllm", vllm_args=given))) == (40, 80)


def test_heads_of_a_size_without_a_kernel_are_refused(untrained: str):
    """The small untrained model has them."""
    settings = LlmSettings(model=untrained, engine="vllm")
    with pytest.raises(SettingError, match="attention heads have 16 values, and vLLM's on a CPU may have 32, "):
        check_engine(settings, Checkpoint(untrained, "HEROSERVE_MODEL"))


@pytest.mark.parametrize("device", ["cuda"])
def test_another_device_is_refused(untrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str):
    folder = shaped("llama", untrained, tmp_path / "model")
    settings = LlmSettings(model=str(folder), engine="vllm", device=device)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(SettingError, match="runs on 'cpu', and HEROSERVE_DEVICE='cuda' is 'cuda'"):
        check_engine(settings, Checkpoint(str(folder), "HEROSERVE_MODEL"))


def test_a_kind_that_may_be_read_otherwise_is_refused(untrained: str, tmp_path: Path):
    folder = shaped("llama", untrained, tmp_path / "model")
    edit(folder, text_config={"model_type": "gemma"})
    settings = LlmSettings(model=str(folder), engine="vllm")
    with pytest.raises(SettingError, match="its language model is a 'gemma'"):
        check_engine(settings, Checkpoint(str(folder), "HEROSERVE_MODEL"))
