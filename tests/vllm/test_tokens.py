"""The same tokens as the embedded engine, on checkpoints of several shapes, for many at once."""

from __future__ import annotations

import asyncio

from services.llm.job import Sampling
from tests.support.vllm_parts import Both, all_said, said

LENGTHS = [5, 17, 31, 64, 127, 128, 129, 200, 255, 256, 300, 333, 401, 500]


async def _check(engines: Both, sampling: Sampling) -> None:
    prompts = [engines.prompt(LENGTHS[i % len(LENGTHS)], image=(0, 1, 40, 150)[i % 4], seed=i) for i in range(32)]
    assert len({len(prompt) for prompt in prompts}) > 16
    ours = await all_said(engines.vllm, prompts, sampling)
    theirs = await all_said(engines.transformers, prompts, sampling)
    for prompt, one, other in zip(prompts, ours, theirs, strict=True):
        engines.check_same(prompt, one, other)
    # Not because nothing was read: other prompts have other answers.
    assert len({tuple(tokens) for tokens in ours}) > 1


async def test_32_at_once_on_the_bundled_model(bundled: Both):
    await _check(bundled, Sampling(ignore_eos=True))


async def test_32_at_once_on_random_models(random: Both):
    await _check(random, Sampling())


async def test_a_long_prompt_is_read_in_pieces_beside_others(bundled: Both):
    """Of more tokens than a step takes."""
    long = bundled.prompt(2900, image=700, at=40, seed=1)
    short = [bundled.prompt(20, seed=seed) for seed in range(4)]
    (ours, _), *others = await asyncio.gather(
        said(bundled.vllm, long), *(said(bundled.vllm, prompt) for prompt in short)
    )
    bundled.check_same(long, ours, (await said(bundled.transformers, long))[0])
    for prompt, (tokens, _) in zip(short, others, strict=True):
        bundled.check_same(prompt, tokens, (await said(bundled.transformers, prompt))[0])
