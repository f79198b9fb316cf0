"""What of the vLLM engine needs no vLLM: settings, refusals, how answers are drawn. The rest is in tests/vllm."""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve.config import AutoscalingConfig
from transformers import GenerationConfig

from services.common.checkpoint import Checkpoint
from services.common.deployment import deploy
from services.common.replica import Replica
from services.common.settings import SettingError
from services.llm import parts, scaling
from services.llm.engines.registry import check_engine, ongoing
from services.llm.engines.vllm import installed
from services.llm.engines.vllm.arguments import words
from services.llm.engines.vllm.drawing import Drawing, warn_of_what_is_not_there
from services.llm.export.config import check_exportable
from services.llm.generation import Generation
from services.llm.job import Sampling
from services.llm.settings import LlmSettings
from tests.support.llm_parts import edit

absent = pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")


@absent
def test_where_there_is_no_vllm_it_is_told_in_a_line(untrained: str):
    settings = LlmSettings(model=untrained, engine="vllm")
    with pytest.raises(SettingError) as told:
        parts.check(settings)
    (line,) = str(told.value).splitlines()
    assert line.startswith("HEROSERVE_ENGINE='vllm': vLLM is not installed here")
    assert "pip install 'heroserve[vllm]'" in line


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", ()),
        ("--max-num-seqs 128 --quantization fp8", ("--max-num-seqs", "128", "--quantization", "fp8")),
        ("--compilation-config '{\"mode\": 0}'", ("--compilation-config", '{"mode": 0}')),
        ('{"max_num_seqs": 128, "enforce_eager": true}', ("--max-num-seqs=128", "--enforce-eager")),
        ('{"enable_prefix_caching": false, "seed": null}', ("--no-enable-prefix-caching",)),
        ('{"compilation_config": {"mode": 0}}', ('--compilation-config={"mode": 0}',)),
        ('{"compile_sizes": [1, 2]}', ("--compile-sizes", "1", "2")),
    ],
)
def test_vllms_settings_are_flags_or_json(line: str, found: tuple[str, ...]):
    assert words(line) == found


@pytest.mark.parametrize("line", ["max_num_seqs=3", "--a 'b", '{"a": ', "{" * 200_000])
def test_what_is_neither_is_told(line: str):
    with pytest.raises(SettingError, match=r"^HEROSERVE_VLLM_ARGS=.*expected vLLM's flags") as told:
        LlmSettings.from_env({"HEROSERVE_VLLM_ARGS": line})
    assert len(str(told.value).splitlines()) == 1
    assert len(str(told.value)) < 1000


def test_what_another_engine_does_not_read_is_told(untrained: str, caplog: pytest.LogCaptureFixture):
    settings = LlmSettings.from_env(
        {"HEROSERVE_MODEL": untrained, "HEROSERVE_VLLM_ARGS": "--seed 1", "HEROSERVE_TENSOR_PARALLEL": "2"}
    )
    check_engine(settings, parts.model(settings))
    for variable in ("HEROSERVE_VLLM_ARGS", "HEROSERVE_TENSOR_PARALLEL"):
        assert f"{variable} is set, and HEROSERVE_ENGINE='transformers' does not read it" in caplog.text


def test_how_many_at_once_is_the_embedded_engines_unless_it_is_said():
    assert ongoing(LlmSettings()) == 32
    assert ongoing(LlmSettings(max_ongoing_requests=7)) == 7
    assert ongoing(LlmSettings(max_ongoing_requests=7, engine="vllm")) == 7


class Nothing(Replica[LlmSettings]):
    async def open(self, settings: LlmSettings, *others: Any) -> None:
        """Never."""


def test_a_model_that_is_spread_takes_whole_accelerators(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    spread = deploy(Nothing, "Chat", LlmSettings(), accelerator=True, parallel=2, ongoing=512)
    options = spread.ray_actor_options or {}
    assert (options["num_gpus"], options["num_cpus"]) == (2, 1)
    assert spread.max_ongoing_requests >= 512
    with pytest.raises(SettingError, match=r"HEROSERVE_REPLICA_GPUS=0\.5: HEROSERVE_TENSOR_PARALLEL=2 takes whole"):
        deploy(Nothing, "Chat", LlmSettings(replica_gpus=0.5), accelerator=True, parallel=2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    on_cpus = deploy(Nothing, "Chat", LlmSettings(), accelerator=True, parallel=2).ray_actor_options or {}
    assert (on_cpus["num_gpus"], on_cpus["num_cpus"]) == (0, 2)


def test_a_kind_that_is_not_known_to_be_read_alike_is_refused_by_name(folder: Path):
    edit(folder, text_config={"model_type": "gemma2", "head_dim": 16})
    source = Checkpoint(str(folder), "HEROSERVE_MODEL")
    with pytest.raises(SettingError, match=r"its language model is a 'gemma2'.*llama, mistral, qwen2, qwen3$"):
        check_exportable(source.config.text_config, source)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hidden_act": "gelu"}, "text_config has hidden_act 'gelu', which is not known"),
        (
            {"rope_parameters": {"rope_type": "proportional", "rope_theta": 1e4}},
            "rope_type 'proportional', which is not known to be read elsewhere as here, as default, dynamic, linear, "
            "llama3, yarn is",
        ),
        (
            {"model_type": "qwen3", "head_dim": 16, "attention_bias": True},
            "attention_bias True, which is not known to be read elsewhere as here, as False is",
        ),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
            "layer_types 'sliding_attention'",
        ),
    ],
)
def test_what_would_be_read_otherwise_is_refused_by_name(folder: Path, change: dict[str, Any], told: str):
    edit(folder, text_config=change)
    source = Checkpoint(str(folder), "HEROSERVE_MODEL")
    with pytest.raises(SettingError, match=told):
        check_exportable(source.config.text_config, source)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
        {"model_type": "mistral", "sliding_window": 64},
        {"model_type": "qwen2"},
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
        {"model_type": "qwen3", "head_dim": 32},
        {"attention_bias": True},
    ],
    ids=str,
)
def test_what_is_read_alike_is_not(folder: Path, change: dict[str, Any]):
    edit(folder, text_config=change)
    source = Checkpoint(str(folder), "HEROSERVE_MODEL")
    check_exportable(source.config.text_config, source)


def drawn(ends: tuple[int, ...] = (7,), **config: Any) -> Drawing:
    return Drawing.of(Generation(GenerationConfig(**config), frozenset(ends)), tokens=100)


def params(drawing: Drawing, prompt: int = 10, most: int = 20, **sampling: Any) -> dict[str, Any]:
    return drawing.params(Sampling(**sampling), prompt, most, drawing.end_tokens)


def test_what_a_checkpoint_says_of_its_answers_goes_to_vllm():
    asked = params(
        drawn(repetition_penalty=1.2, top_k=50, min_p=0.1, suppress_tokens=[3, 99, 100, -1], min_new_tokens=4)
    )
    assert (asked["repetition_penalty"], asked["top_k"], asked["min_p"], asked["min_tokens"]) == (1.2, 50, 0.1, 4)
    # One that the model can't say would be refused with each request.
    assert asked["logit_bias"] == {3: -math.inf, 99: -math.inf}
    assert (asked["stop_token_ids"], asked["ignore_eos"], asked["detokenize"]) == ([7], True, False)
    plain = params(drawn())
    assert (plain["repetition_penalty"], plain["top_k"], plain["min_p"], plain["min_tokens"]) == (1.0, 0, 0.0, 0)
    assert plain["logit_bias"] is None


@pytest.mark.parametrize(
    ("config", "prompt", "least"),
    [({"min_length": 15}, 10, 5), ({"min_length": 8}, 10, 0), ({"min_new_tokens": 50}, 10, 20)],
)
def test_the_least_length_is_within_the_answers(config: dict[str, Any], prompt: int, least: int):
    assert params(drawn(**config), prompt)["min_tokens"] == least


@pytest.mark.parametrize(("given", "warm"), [(0.0, 0.0), (1e-6, 0.0), (0.001, 0.01), (0.7, 0.7)])
def test_the_coldest_that_is_drawn(given: float, warm: float):
    assert params(drawn(), temperature=given)["temperature"] == warm


def test_seeds_fit_a_generator():
    assert params(drawn(), seed=(1 << 64) - 1)["seed"] == (1 << 63) - 1
    assert params(drawn())["seed"] is None
    assert params(drawn(), seed=0)["seed"] == 0


def test_what_vllm_does_not_have_is_told_by_name(untrained: str, caplog: pytest.LogCaptureFixture):
    source = Checkpoint(untrained, "HEROSERVE_MODEL")
    warn_of_what_is_not_there(source, Generation(GenerationConfig(top_k=3, repetition_penalty=2.0), frozenset()))
    assert not [record for record in caplog.records if record.name.startswith("services")]
    odd = GenerationConfig(no_repeat_ngram_size=3, begin_suppress_tokens=[5], typical_p=0.9)
    warn_of_what_is_not_there(source, Generation(odd, frozenset()))
    (record,) = [record for record in caplog.records if record.name.startswith("services")]
    told = record.getMessage()
    for name in ("no_repeat_ngram_size=3", "begin_suppress_tokens=[5]", "typical_p=0.9"):
        assert name in told
    assert "top_k" not in told


@pytest.mark.parametrize(
    ("ongoing", "waiting", "begun", "replicas"),
    [
        (100, 0, 90_000, 2.5),
        (10, 0, 9_000, 0.25),
        (60, 30_000, 30_000, 4),
        (60, 10_000, 50_000, 2.4),
        (200, 1_000, 199_000, 5),
        # Few requests, most of what they ask for waits.
        (5, 24_000, 8_000, 8),
        # Many wait, and are next to nothing.
        (60, 600, 30_000, 2.04),
        (30, 30, 0, 60),
    ],
)
def test_replicas_are_wanted_for_what_is_under_way_and_for_prompts_that_have_no_room(
    ongoing: int, waiting: int, begun: int, replicas: float
):
    """Of two replicas that are to have 40 requests each, where none waits for room."""

    context = SimpleNamespace(
        config=AutoscalingConfig(target_ongoing_requests=40),
        current_num_replicas=2,
        total_num_requests=ongoing,
        aggregated_metrics={
            scaling.WAITING: {"a": waiting / 2, "b": waiting / 2},
            scaling.BEGUN: {"a": begun / 2, "b": begun / 2},
        },
    )
    assert scaling.policy(context) == (pytest.approx(replicas), {})
    context.aggregated_metrics = {}
    assert scaling.policy(context) == (ongoing / 40, {})


def test_serve_finds_the_policy():
    """By its name, as the controller does."""
    options = deploy(Nothing, "Chat", LlmSettings(), policy="services.llm.scaling:policy")
    found = options._deployment_config.autoscaling_config.policy.get_policy()
    assert found.__module__ == "services.llm.scaling"


def test_threads_are_the_replicas_and_not_what_was_checked_with(monkeypatch: pytest.MonkeyPatch):
    """Who checks passes its environment on to Ray, and so to replicas."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "fork")
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    # So that whatever it sets is taken back.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    installed.prepare()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    installed.prepare(8)
    assert os.environ["OMP_NUM_THREADS"] == "8"
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "fork"
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
