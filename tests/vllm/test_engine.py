"""What the engine does beside generating: it forgets who has gone, remembers what it read, ends where it should."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from prometheus_client import REGISTRY

from services.common import context
from services.common.context import RequestContext
from services.llm.engines.engine import Read
from services.llm.job import Sampling
from services.llm.prompts_held import PromptsHeld
from services.llm.refusal import Refusal, Role
from services.llm.scaling import wanted
from tests.support.vllm_parts import BLOCK, Both, all_said, said
from tests.support.waiting import until_true

SCHEMA = {
    "type": "object",
    "properties": {"color": {"enum": ["red", "blue"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["color", "count"],
    "additionalProperties": False,
}


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_who_goes_away_frees_what_it_held(bundled: Both):
    prompts = [bundled.prompt(300, seed=100 + i) for i in range(3)]
    answers = [bundled.vllm.generate(prompt, Sampling(ignore_eos=True), 3000, "long") for prompt in prompts]
    for answer in answers:
        for _ in range(4):
            await anext(answer)
    assert metric("heroserve_engine_running") == 3
    assert metric("heroserve_engine_kv_cache_usage") > 0
    first, *others = answers
    await first.aclose()
    assert metric("heroserve_engine_running") == 2
    # Cancelled from outside, as a caller that hangs up does.
    reading = asyncio.ensure_future(_read_all(others[0]))
    await asyncio.sleep(0.1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await others[1].aclose()
    assert (metric("heroserve_engine_running"), metric("heroserve_engine_kv_cache_usage")) == (0, 0)
    # By vLLM's own count, too: one alone holds what one alone needs.
    seen: list[float] = []
    async for _ in bundled.vllm.generate(bundled.prompt(20, seed=7), Sampling(ignore_eos=True), 30, "short"):
        seen.append(metric("heroserve_engine_kv_cache_usage"))
    blocks = bundled.vllm._llm.vllm_config.cache_config.num_gpu_blocks
    assert 0 < max(seen) <= 2 / blocks
    assert bundled.vllm._llm.get_num_unfinished_requests() == 0


async def _read_all(answer: object) -> None:
    async for _ in answer:  # type: ignore[attr-defined]
        pass


async def test_what_was_read_is_not_read_again(bundled: Both):
    prompt = bundled.prompt(300, image=90, seed=21)
    hits = metric("heroserve_engine_prefix_tokens_total", outcome="hit")
    first, cached = await said(bundled.vllm, prompt)
    assert cached == 0
    again, cached = await said(bundled.vllm, prompt)
    assert (again, cached) == (first, 3 * BLOCK)
    assert metric("heroserve_engine_prefix_tokens_total", outcome="hit") == hits + 3 * BLOCK
    # Another image of the same length in its place is another prompt.
    other = bundled.prompt(300, image=90, seed=22)
    changed = type(prompt)(prompt.token_ids, other.images, prompt.position_ids, prompt.next_position)
    assert (await said(bundled.vllm, changed))[1] == 0


async def test_fewer_rows_of_an_image_are_a_prefix_of_more(bundled: Both):
    """Rank once: what a smaller budget keeps of the image is the beginning of what a larger one keeps."""
    many = bundled.prompt(40, image=400, at=30, seed=23)
    few = bundled.prompt(40, image=300, at=30, seed=23)
    assert (await said(bundled.vllm, many))[1] == 0
    assert (await said(bundled.vllm, few))[1] == (30 + 300) // BLOCK * BLOCK


async def test_one_callers_prompts_are_not_found_by_another(bundled: Both):
    prompt = bundled.prompt(300, seed=24)
    with context.serving(RequestContext(scope="a")):
        assert (await said(bundled.vllm, prompt))[1] == 0
        assert (await said(bundled.vllm, prompt))[1] == 2 * BLOCK
    with context.serving(RequestContext(scope="b")):
        assert (await said(bundled.vllm, prompt))[1] == 0


async def test_a_seed_repeats_an_answer_whatever_else_is_asked(bundled: Both):
    prompt = bundled.prompt(60, seed=25)

    def drawn(seed: int | None) -> Sampling:
        return Sampling(temperature=2.0, seed=seed, ignore_eos=True)

    alone, _ = await said(bundled.vllm, prompt, drawn(5))
    answers = await asyncio.gather(*(said(bundled.vllm, prompt, drawn(seed)) for seed in (5, 6, 7, None, None, 5)))
    tokens = [answer for answer, _ in answers]
    assert tokens[0] == tokens[5] == alone
    assert len({tuple(answer) for answer in tokens}) > 2
    # As large as a caller may send it.
    assert await said(bundled.vllm, prompt, drawn((1 << 64) - 1))


async def test_an_answer_ends_with_the_checkpoints_own_token(bundled: Both):
    (end,) = bundled.vllm.end_tokens
    prompts = [bundled.prompt(30 + i, seed=i) for i in range(8)]
    ended = await all_said(bundled.vllm, prompts, Sampling(), 60)
    assert any(tokens[-1] == end for tokens in ended)
    assert all(end not in tokens[:-1] for tokens in ended)
    on = await all_said(bundled.vllm, prompts, Sampling(ignore_eos=True), 60)
    assert [len(tokens) for tokens in on] == [60] * 8


@pytest.mark.parametrize("ignore_eos", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_an_answer_is_held_to_a_schema(bundled: Both, temperature: float, ignore_eos: bool):
    sampling = Sampling(json_schema=json.dumps(SCHEMA), temperature=temperature, seed=3, ignore_eos=ignore_eos)
    tokens, _ = await said(bundled.vllm, bundled.prompt(30, seed=26), sampling, 100)
    found = json.loads(bundled.vllm._llm.tokenizer.decode(tokens, skip_special_tokens=True))
    assert found.keys() == {"color", "count"}
    assert found["color"] in ("red", "blue")
    assert found["count"] in range(10)
    assert len(tokens) < 100


async def test_a_schema_that_is_none_is_refused(bundled: Both):
    with pytest.raises(Refusal) as refused:
        await said(bundled.vllm, bundled.prompt(30), Sampling(json_schema='{"type": "strange"}'))
    assert refused.value.role == Role("json_schema")
    assert len(refused.value.problem.splitlines()) == 1
    assert (await said(bundled.vllm, bundled.prompt(30)))[0]


async def test_more_than_it_has_slots_wait_and_are_told(bundled: Both):
    assert bundled.vllm.slots == 64
    prompts = [bundled.prompt(10, seed=200 + i) for i in range(90)]
    waited: list[float] = []

    def waits() -> bool:
        waited.append(metric("heroserve_requests_waiting", where="engine"))
        return waited[-1] > 0

    asking = asyncio.ensure_future(all_said(bundled.vllm, prompts, Sampling(ignore_eos=True), 40))
    await until_true(waits)
    assert 0 < waited[-1] <= 26
    answers = await asking
    assert all(len(tokens) == 40 for tokens in answers)
    assert metric("heroserve_requests_waiting", where="engine") == 0


async def test_prompts_that_have_no_room_have_the_autoscaler_want_another_replica(bundled: Both):
    """By their tokens: 64 of these have room, 26 have none."""
    held = PromptsHeld()

    async def ask(seed: int) -> None:
        prompt = bundled.prompt(10, seed=seed)
        with held.prompt(len(prompt)) as read:
            async for token in bundled.vllm.generate(prompt, Sampling(ignore_eos=True), 200, "a request"):
                if not isinstance(token, Read):
                    read()

    asking = asyncio.gather(*(ask(300 + i) for i in range(90)))
    await until_true(lambda: bundled.vllm.waiting == 26)
    waiting, begun = held.tokens(bundled.vllm.waiting)
    assert (waiting, begun) == (260, 640)
    # What one replica with so few requests would not be enough for by their number.
    assert math.ceil(wanted(1, 0.5, waiting, begun)) == 2
    await asking
    assert held.tokens(bundled.vllm.waiting) == (0, 0)
