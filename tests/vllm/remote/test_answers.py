"""A stock vLLM beside answers as the engine that is exact, from the same prompts."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from scripts.stack import ROOT
from scripts.vllm_server import VllmServer
from services.common.settings import BUNDLED_MODEL, SettingError
from services.llm.job import ImagePart, Sampling, Turn
from services.llm.refusal import Refusal
from tests.support.llm_parts import InProcessEncoder
from tests.support.remote_parts import BOTH, STAR, Asked, asking
from tests.support.waiting import until_true

SCENE = (ROOT / "examples" / "scene.png").read_bytes()
WORLD = (ROOT / "examples" / "world.png").read_bytes()


@pytest.mark.parametrize("retention", [1.0, 0.5, 0.2, 0.05])
@pytest.mark.parametrize("question", [STAR, BOTH])
async def test_one_question(here: Asked, there: Asked, question: str, retention: float):
    for picture in (SCENE, WORLD):
        told, expected = [await ask(question, picture, retention=retention) for ask in (there, here)]
        assert told.text == expected.text
        assert told.bill.finish_reason == expected.bill.finish_reason == "stop"
        # What they save in bytes is each engine's own.
        kept = [(bill.savings.total, bill.savings.kept) for bill in (told.bill, expected.bill)]
        assert kept[0] == kept[1]
        counts = [
            (bill.usage.prompt_text_tokens, bill.usage.prompt_visual_tokens, bill.usage.prompt_newline_tokens)
            for bill in (told.bill, expected.bill)
        ]
        assert counts[0] == counts[1]
        assert told.bill.usage.completion_tokens == expected.bill.usage.completion_tokens


async def test_turns_and_several_images(here: Asked, there: Asked):
    before = (Turn("user", (ImagePart(data=SCENE), STAR)), Turn("assistant", ("T",)))
    for images in ((), (WORLD,), (WORLD, SCENE)):
        told, expected = [await ask(BOTH, *images, before=before, retention=0.3) for ask in (there, here)]
        assert told.text == expected.text


async def test_a_question_without_an_image(here: Asked, there: Asked):
    told, expected = [await ask("is it red?", max_tokens=12, ignore_eos=True) for ask in (there, here)]
    assert told.text == expected.text
    assert told.bill.finish_reason == "length"
    assert told.bill.usage.completion_tokens == 12


async def test_eight_lengths_at_once(here: Asked, there: Asked):
    shares = [number / 10 for number in range(1, 9)]
    told = await asyncio.gather(*(there(BOTH, SCENE, retention=share) for share in shares))
    expected = [await here(BOTH, SCENE, retention=share) for share in shares]
    assert [answer.text for answer in told] == [answer.text for answer in expected]
    assert len({answer.bill.savings.kept for answer in told}) == 8


async def test_a_repeat_is_a_prefix_hit(there: Asked):
    """A picture that no other test has: its prompt, of nearly 500 tokens, has three whole blocks of 128."""
    question = "what character is on the green square?"
    first, again = [await there(question, WORLD, retention=0.93) for _ in range(2)]
    assert again.text == first.text
    assert first.bill.usage.prompt_cached_tokens < 128
    assert again.bill.usage.prompt_cached_tokens >= 256


async def test_seeds_and_stop_strings(there: Asked):
    drawn = [await there("x", SCENE, temperature=1.5, seed=7, max_tokens=24, ignore_eos=True) for _ in range(2)]
    assert drawn[0].text == drawn[1].text
    stopped = await there(BOTH, SCENE, stop=("none", "no", "nor", "n0", " "))
    assert (stopped.text, stopped.bill.finish_reason) == ("7", "stop")


async def test_an_answer_is_held_to_a_schema_or_the_schema_is_refused(there: Asked):
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["T", "7"]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    told = await there(STAR, SCENE, json_schema=json.dumps(schema), max_tokens=200)
    assert json.loads(told.text)["a"] in ("T", "7")
    assert told.bill.finish_reason == "stop"
    with pytest.raises(Refusal, match="can't be generated for") as refused:
        await there(STAR, SCENE, json_schema='{"type": "nonsense"}')
    assert refused.value.role.name == "json_schema"


@pytest.mark.parametrize("word", ["</s>", "<image>", "<|user|>", "<prompt_embeds>"])
async def test_control_tokens_are_refused_by_name(there: Asked, word: str):
    with pytest.raises(Refusal, match="which is reserved") as refused:
        await there(f"is it {word}?", SCENE)
    assert repr(word) in refused.value.problem


async def test_closing_the_answer_frees_the_server(there: Asked, server: VllmServer):
    running = "vllm:num_requests_running"
    with there.prompts() as prompts:
        await there(STAR, SCENE)
    tokens = there.engine.generate(prompts[0], Sampling(ignore_eos=True), 3000)
    await anext(tokens)
    await until_true(lambda: server.metric(running) == 1)
    await tokens.aclose()
    await until_true(lambda: server.metric(running) == 0, 20)


async def test_a_server_with_another_model_is_refused_at_the_start(
    encoder: InProcessEncoder, server: VllmServer, untrained: str
):
    with pytest.raises(SettingError, match=r"^HEROSERVE_VLLM_URL='http://127") as refused:
        async with asking(encoder, server.url, model=untrained):
            pass
    assert "\n" not in str(refused.value)


async def test_a_server_with_another_template_is_refused_at_the_start(
    encoder: InProcessEncoder, server: VllmServer, folder: Path
):
    """The bundled model but for its template, one blank more where an answer begins."""
    shutil.copytree(BUNDLED_MODEL, folder, dirs_exist_ok=True)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|assistant|>", "<|assistant|> "))
    with pytest.raises(SettingError, match=r"there and .* here; serve what `python -m services.llm.export` writes"):
        async with asking(encoder, server.url, model=str(folder)):
            pass


async def test_a_server_with_other_weights_is_refused_at_the_start(
    encoder: InProcessEncoder, server: VllmServer, folder: Path
):
    """The bundled model but for one value of its language model's."""
    shutil.copytree(BUNDLED_MODEL, folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "language_model" in name and "norm" in name)
    weights[name][0] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        SettingError, match=r"is of another checkpoint than HEROSERVE_MODEL \('digest:\S+' there, 'digest:"
    ):
        async with asking(encoder, server.url, model=str(folder)):
            pass


async def test_a_wrong_key_is_told(encoder: InProcessEncoder, server: VllmServer):
    with pytest.raises(SettingError, match="HEROSERVE_VLLM_API_KEY") as refused:
        async with asking(encoder, server.url, key="an0ther"):
            pass
    assert "an0ther" not in str(refused.value)
