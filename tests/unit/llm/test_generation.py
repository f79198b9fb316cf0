"""What a checkpoint's generation config says holds: token for token as Hugging Face's ``generate``."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, LlavaNextForConditionalGeneration

from services.common.errors import FailedPrecondition
from services.common.settings import SettingError
from services.llm import parts
from services.llm.assemble import Prompt, Span, assemble
from services.llm.engines.sampler import LogitsProcessors, Sampler
from services.llm.job import Sampling
from services.llm.settings import LlmSettings
from tests.support.llm_parts import GREEDY, Language, collect, edit, picture, see

IMAGE = 3
QUESTION = "how many red circles, red circles, red circles?"
ASKED = {
    "repetition_penalty": 1.6,
    "no_repeat_ngram_size": 1,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "bad_words_ids": None,
    "min_new_tokens": 9,
    "min_length": None,
    "sequence_bias": None,
    "exponential_decay_length_penalty": [1, 50.0],
    "forced_eos_token_id": 7,
}


def entry(name: str, said: list[int], prompt_tokens: int) -> Any:
    """Of a generation config that changes an answer which was ``said`` without it."""
    match name:
        case "min_length":
            return prompt_tokens + 9
        case "suppress_tokens":
            return sorted(set(said))
        case "begin_suppress_tokens":
            return said[:1]
        case "bad_words_ids":
            return [said[2:4], said[5:6]]
        case "sequence_bias":
            return [[said[1:2], -100.0]]
    return ASKED[name]


@pytest.fixture
def asked(processor, hf):
    """The processor's inputs, ids with one placeholder, and the image."""
    seen = see(hf, processor, picture(91, 37))
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}],
        add_generation_prompt=True,
    )
    expanded = processor.tokenizer(text.replace("<image>", "<image>" * len(seen.full)), return_tensors="pt").input_ids
    return {"input_ids": expanded, **seen.inputs}, processor.tokenizer(text).input_ids, seen


async def ours(folder: Path, asked: Any, tokens: int = 12, sampling: Sampling = GREEDY) -> list[int]:
    _, ids, seen = asked
    language = Language(folder)
    image = seen.spliced(seen.keep_all())
    prompt = assemble(language.splicer, ids, IMAGE, [image], original_positions=False)
    return await collect(language.engine.generate(prompt, sampling, tokens))


def theirs(folder: Path, asked: Any, tokens: int = 12) -> list[int]:
    model = LlavaNextForConditionalGeneration.from_pretrained(folder).eval()
    inputs = asked[0]
    return model.generate(**inputs, do_sample=False, max_new_tokens=tokens)[0, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("name", ASKED)
async def test_greedy_tokens_are_hugging_faces(untrained, folder, asked, name):
    plain = await ours(untrained, asked)
    end = {}
    if "min" in name:
        # So that what keeps an answer from ending has something to do.
        end = {"eos_token_id": plain[4]}
    if "decay" in name:
        end = {"eos_token_id": next(token for token in range(7, 400) if token not in plain)}
    edit(folder, generation={name: entry(name, plain, asked[0]["input_ids"].shape[1]), **end})
    answer = await ours(folder, asked)
    assert answer == theirs(folder, asked)
    edit(folder, generation=end or {"bos_token_id": 1})
    assert answer != await ours(folder, asked)


async def test_temperature_and_top_p_are_the_requests(untrained, folder, asked):
    edit(folder, generation={"do_sample": True, "temperature": 0.1, "top_p": 0.1})
    assert await ours(folder, asked) == await ours(untrained, asked)
    drawn = Sampling(temperature=1.5, seed=3)
    assert await ours(folder, asked, sampling=drawn) == await ours(untrained, asked, sampling=drawn)


async def test_penalties_hold_for_what_is_drawn_too(folder, asked):
    edit(folder, generation={"no_repeat_ngram_size": 1})
    answer = await ours(folder, asked, 40, Sampling(temperature=0.5, seed=1))
    assert len(set(answer)) == len(answer) == 40


@pytest.mark.parametrize(
    ("eos", "ends"),
    [("</s>", {2}), ("7", {7}), (["</s>", 9], {2, 9}), ([], set())],
    ids=str,
)
def test_end_tokens_written_as_texts(folder, eos, ends):
    edit(folder, generation={"eos_token_id": eos, "bos_token_id": 1})
    assert Language(folder).engine.end_tokens == ends


@pytest.mark.parametrize(
    ("generation", "problem"),
    [
        ({"eos_token_id": "<nothing>"}, "eos_token_id is '<nothing>'"),
        ({"eos_token_id": True}, "eos_token_id is True"),
        ({"eos_token_id": {"id": 2}}, "eos_token_id is"),
        ({"repetition_penalty": -1.0}, "generation_config.json can't be used .*positive"),
        ({"repetition_penalty": "much"}, "generation_config.json can't be used"),
        ({"no_repeat_ngram_size": 1.5}, "generation_config.json can't be used"),
        ({"bad_words_ids": [[10**6]]}, "generation_config.json can't be used"),
        ({"watermarking_config": "x"}, "generation_config.json can't be used"),
        ({"sequence_bias": [[[5], math.nan]]}, r"generation_config.json can't be used \(NaN in sequence_bias\)"),
        ({"top_k": math.nan}, r"generation_config.json can't be used \(NaN in top_k\)"),
        ({"repetition_penalty": 1e-320}, r"generation_config.json can't be used \(it makes values of logits"),
        (
            {"exponential_decay_length_penalty": [1, 1e300], "eos_token_id": 2},
            r"generation_config.json can't be used \(. tokens on, OverflowError: ",
        ),
        ({"suppress_tokens": [*range(1000)]}, r"generation_config.json can't be used \(it leaves no token"),
        ({"sequence_bias": [[[5], math.inf]]}, r"generation_config.json can't be used \(it makes values of logits"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_can_not_be_done_is_told_before_anything_is_served(folder, generation, problem):
    (folder / "generation_config.json").write_text(json.dumps(generation))
    with pytest.raises(SettingError, match=rf"^HEROSERVE_MODEL='.*{problem}"):
        parts.check(LlmSettings(model=str(folder)))


@pytest.mark.parametrize(
    ("generation", "said"),
    [
        ({"num_beams": 4}, "asks for num_beams=4, which is not served"),
        ({"stop_strings": ["\n\n"]}, "asks for stop_strings="),
        ({"penalty_alpha": 0.6}, "asks for penalty_alpha=0.6"),
        ({"dola_layers": "low"}, "asks for dola_layers='low'"),
        ({"constraints": [[5]]}, "asks for constraints="),
        ({"suppress_tokens": [5, 99_999]}, r"suppress_tokens \[99999\]; it has [0-9]+"),
        ({"eos_token_id": [2, 99_999]}, r"can't say, which changes nothing: eos_token_id \[99999\]"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_served_is_said(folder, caplog, generation, said):
    edit(folder, generation={"repetition_penalty": 1.1, "num_return_sequences": 1, "guidance_scale": 1.0, **generation})
    parts.check(LlmSettings(model=str(folder)))
    (told,) = (record.getMessage() for record in caplog.records if "generation_config.json" in record.getMessage())
    assert re.search(said, told)
    assert not {"repetition_penalty", "num_return_sequences", "guidance_scale"} & set(re.findall(r"\w+", told))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize(
    ("generation", "said"),
    [
        ({"no_repeat_ngram_size": 1}, "it leaves no token that may be said"),
        ({"exponential_decay_length_penalty": [1, 10_000.0]}, "90 tokens on, OverflowError: "),
    ],
    ids=["no repetition", "decay"],
)
def test_what_a_long_answer_brings_out_names_the_file(untrained, generation, said, temperature):
    """No bug, and nothing that the caller can mend."""
    config = Language(untrained).engine.model.config
    processors = LogitsProcessors(config, GenerationConfig(**generation), frozenset({2}))
    sampling = Sampling(temperature=temperature, seed=1)
    length = config.vocab_size if "no_repeat_ngram_size" in generation else 90
    prompt = torch.arange(length) % config.vocab_size
    draw = Sampler(processors.of(sampling, 1, 1000, prompt.device), sampling, prompt, prompt.device)
    with pytest.raises(FailedPrecondition, match=rf"^generation_config.json can't be used \({said}"):
        draw(torch.zeros(config.vocab_size))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("generation", [{}, {"repetition_penalty": 1.2}], ids=str)
async def test_values_that_are_not_finite_are_an_error_that_says_what_to_set(folder, dtype, temperature, generation):
    """Never token 0 for ever."""
    file = folder / "model.safetensors"
    (folder / "generation_config.json").write_text(json.dumps(generation))
    # Beyond float16, bfloat16 and float32.
    factor = 1e6 if dtype == "float16" else 3e38
    save_file(
        {name: t * factor if "linear_2.weight" in name else t for name, t in load_file(file).items()},
        file,
        {"format": "pt"},
    )
    language = Language(folder, dtype=dtype)
    splicer = language.splicer
    with torch.inference_mode():
        visual = splicer.project(
            torch.randn(20, splicer.feature_width, generator=torch.Generator().manual_seed(0)) * 10
        )
        ids = torch.tensor([*[IMAGE] * 20, 1, 5])
        prompt = Prompt(ids, (Span(0, visual),), torch.arange(22), 22)
    remedy = {"float16": "set it to bfloat16 or float32", "bfloat16": "set it to float32"}.get(dtype, "weights")
    with pytest.raises(FailedPrecondition, match=rf"^HEROSERVE_DTYPE: in {dtype} the language model .*{remedy}"):
        await collect(language.engine.generate(prompt, Sampling(temperature=temperature, seed=1), 20))


async def test_a_token_that_can_never_be_said_is_no_reason_to_stop(untrained):
    """Some heads have minus infinity for what is only padding of the vocabulary."""
    language = Language(untrained)
    prompt = assemble(language.splicer, [1, 5, 90, 6], IMAGE, [], original_positions=False)
    first = (await collect(language.engine.generate(prompt, GREEDY, 1)))[0]

    def mask(module: Any, args: Any, output: Any) -> None:
        output.logits[..., first] = -torch.inf

    handle = language.engine.model.register_forward_hook(mask)
    assert first not in await collect(language.engine.generate(prompt, GREEDY, 6))
    handle.remove()
