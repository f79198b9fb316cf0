"""The embedded engine generates what Hugging Face generates, for many at once, and stops when told to."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from contextlib import aclosing

import pytest
import torch
from prometheus_client import REGISTRY

from scripts.stack import ROOT
from services.llm.assemble import assemble
from services.llm.engines.engine import Engine
from services.llm.engines.transformers import TransformersEngine
from services.llm.job import Sampling
from tests.support.llm_parts import GREEDY, Language, collect, edit
from tests.support.waiting import until_true

IMAGE = 3
# Far above what float32 leaves open in logits of about 1 (tests/unit/models), far below what a mistake does.
NOISE = 1e-4
QUESTIONS = ["what is this", "how many red circles? Ünïcode \N{RED APPLE}"]


def text_prompt(splicer, ids=(1, 5, 90, 91, 92, 6)):
    return assemble(splicer, list(ids), IMAGE, [], original_positions=False)


def in_line():
    """Requests that wait for a thread."""
    return REGISTRY.get_sample_value("heroserve_requests_waiting", {"where": "engine"})


def whole_prompt(processor, seen, question):
    """The processor's inputs, and the prompt's ids with one placeholder."""
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}],
        add_generation_prompt=True,
    )
    expanded = text.replace("<image>", "<image>" * len(seen.full))
    ids = processor.tokenizer(expanded, return_tensors="pt").input_ids
    return {"input_ids": ids, **seen.inputs}, processor.tokenizer(text).input_ids


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("size", [(224, 224), (91, 37), (1000, 90), (97, 401)])
async def test_greedy_tokens_are_hugging_faces(hf, processor, look, splicer, engine, forwards, size, question):
    seen = look(size)
    inputs, ids = whole_prompt(processor, seen, question)
    answer = hf.generate(**inputs, do_sample=False, max_new_tokens=16, output_logits=True, return_dict_in_generate=True)
    prompt = assemble(splicer, ids, IMAGE, [seen.spliced(seen.keep_all())], original_positions=False)
    tokens = await collect(engine.generate(prompt, GREEDY, 16))
    assert tokens == answer.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    torch.testing.assert_close(torch.stack(forwards.logits), torch.cat(answer.logits), atol=NOISE, rtol=0)
    # The prompt once, and then a token at a time.
    assert forwards.lengths == [len(prompt)] + [1] * (len(tokens) - 1)


@pytest.mark.parametrize("original", [False, True])
async def test_after_dropping_every_token_has_its_position(hf, look, splicer, engine, forwards, original):
    """Against a model that reads everything anew for each token, at the positions of the whole sequence."""
    seen = look((333, 101))
    keep = seen.keep_some(3)
    prompt = assemble(splicer, [1, 5, IMAGE, 90, 6], IMAGE, [seen.spliced(keep)], original_positions=original)
    got = await collect(engine.generate(prompt, GREEDY, 8))

    embed = hf.get_input_embeddings()
    head, tail = embed(torch.tensor([1, 5])), embed(torch.tensor([90, 6]))
    left = torch.from_numpy(seen.survivors(keep, "every_row"))
    length = len(seen.full) if original else len(left)
    positions = torch.cat([torch.arange(2), 2 + (left if original else torch.arange(len(left)))])
    positions = torch.cat([positions, 2 + length + torch.arange(2)])
    inputs = torch.cat([head, seen.full[left], tail])
    expected, logits = [], []
    with torch.inference_mode():
        for step in range(8):
            # Without the mask, gaps between positions would pass for the borders of packed sequences.
            hidden = hf.model.language_model(
                inputs_embeds=inputs[None],
                position_ids=positions[None],
                attention_mask=torch.ones(1, len(inputs), dtype=torch.long),
                use_cache=False,
            ).last_hidden_state
            out = hf.lm_head(hidden[0, -1])
            logits.append(out)
            expected.append(int(out.argmax()))
            inputs = torch.cat([inputs, embed(torch.tensor(expected[-1:]))])
            positions = torch.cat([positions, torch.tensor([2 + length + 2 + step])])
    torch.testing.assert_close(torch.stack(forwards.logits), torch.stack(logits), atol=NOISE, rtol=0)
    assert got == expected


async def test_the_two_numberings_are_not_the_same(look, splicer, engine, forwards):
    seen = look((333, 101))
    for original in (False, True):
        laid = seen.spliced(seen.keep_some(3, 0.1))
        prompt = assemble(splicer, [1, IMAGE, 90, 6], IMAGE, [laid], original_positions=original)
        await collect(engine.generate(prompt, GREEDY, 1))
    one, other = forwards.logits
    assert (one - other).abs().max() > 1000 * NOISE


@pytest.mark.parametrize("count", [1, 2, 7])
async def test_max_tokens(splicer, engine, forwards, count):
    assert len(await collect(engine.generate(text_prompt(splicer), GREEDY, count))) == count
    # Nothing is computed for a token that nobody gets.
    assert len(forwards.lengths) == count


@pytest.mark.parametrize("several", [False, True])
async def test_the_end_of_sequence_stops_and_is_the_last(folder, splicer, engine, several):
    whole = await collect(engine.generate(text_prompt(splicer), GREEDY, 12))
    last = whole[5]
    eos = [last, 2] if several else last
    edit(folder, generation={"eos_token_id": eos})
    other = Language(folder)
    assert other.engine.end_tokens == ({last, 2} if several else {last})
    tokens = await collect(other.engine.generate(text_prompt(other.splicer), GREEDY, 12))
    assert tokens == whole[: whole.index(last) + 1]


async def test_closing_the_generator_stops_the_thread(splicer, engine, forwards):
    forwards.before = lambda count: time.sleep(0.005)
    async with aclosing(engine.generate(text_prompt(splicer), GREEDY, 4000)) as tokens:
        got = [token async for token, _ in zip_first(tokens, 3)]
    assert len(got) == 3
    at_close = len(forwards.lengths)
    await asyncio.sleep(0.1)
    # The pass that was under way may end; no other begins.
    assert len(forwards.lengths) <= at_close + 1


async def zip_first(tokens, count):
    index = 0
    async for token in tokens:
        yield token, index
        index += 1
        if index == count:
            return


async def test_a_cancelled_task_stops_the_thread(splicer, language, forwards):
    engine = TransformersEngine(language.engine.model, language.engine.end_tokens, 1)
    forwards.before = lambda count: time.sleep(0.005)
    task = asyncio.create_task(collect(engine.generate(text_prompt(splicer), GREEDY, 4000)))
    await until_true(lambda: len(forwards.lengths) > 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    at_close = len(forwards.lengths)
    await asyncio.sleep(0.1)
    assert len(forwards.lengths) <= at_close + 1
    # The thread is free again.
    assert len(await asyncio.wait_for(collect(engine.generate(text_prompt(splicer), GREEDY, 2)), 60)) == 2


async def test_who_gives_up_in_line_never_runs(splicer, language, forwards):
    engine = TransformersEngine(language.engine.model, language.engine.end_tokens, 1)
    gone = threading.Event()
    forwards.before = lambda count: gone.wait(60)
    first = asyncio.create_task(collect(engine.generate(text_prompt(splicer, range(20, 30)), GREEDY, 40)))
    await until_true(lambda: forwards.lengths)
    assert in_line() == 0
    waiting = asyncio.create_task(collect(engine.generate(text_prompt(splicer, range(20, 37)), GREEDY, 4000)))
    await until_true(lambda: in_line() == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert in_line() == 0
    gone.set()
    third = asyncio.create_task(collect(engine.generate(text_prompt(splicer, range(20, 23)), GREEDY, 2)))
    assert [len(await first), len(await third)] == [40, 2]
    assert [length for length in forwards.lengths if length > 1] == [10, 3]


async def test_a_generator_that_nobody_reads_does_nothing(splicer, engine, forwards):
    await engine.generate(text_prompt(splicer), GREEDY, 10).aclose()
    await asyncio.sleep(0.02)
    assert forwards.lengths == []


async def test_more_requests_than_threads_all_finish(splicer, language, forwards):
    engine = TransformersEngine(language.engine.model, language.engine.end_tokens, 2)
    busy, most, lock = set(), [], threading.Lock()

    def enter(count):
        with lock:
            busy.add(threading.get_ident())
            most.append(len(busy))
        time.sleep(0.001)

    forwards.before = enter
    lengths = range(4, 14)
    alone = [await collect(engine.generate(text_prompt(splicer, range(20, 20 + n)), GREEDY, 6)) for n in lengths]
    together = await asyncio.gather(
        *(collect(engine.generate(text_prompt(splicer, range(20, 20 + n)), GREEDY, 6)) for n in lengths)
    )
    assert together == alone
    assert len({tuple(tokens) for tokens in alone}) > 1
    assert max(most) == 2
    assert in_line() == 0


async def test_the_loop_goes_on_while_the_model_works(splicer, engine, forwards):
    turned, seen = threading.Event(), []
    forwards.before = lambda count: seen.append(turned.wait(10))
    task = asyncio.create_task(collect(engine.generate(text_prompt(splicer), GREEDY, 3)))
    # The model is at work from here on, and goes on when this loop has come round.
    await until_true(lambda: forwards.lengths)
    turned.set()
    await task
    assert seen == [True] * 3


async def test_what_fails_in_the_model_reaches_who_reads(splicer, engine, forwards):
    def fail(count):
        if count == 3:
            raise RuntimeError("out of memory")

    forwards.before = fail
    tokens = engine.generate(text_prompt(splicer), GREEDY, 10)
    await anext(tokens)
    await anext(tokens)
    with pytest.raises(RuntimeError, match="out of memory"):
        await anext(tokens)
    assert len(await collect(engine.generate(text_prompt(splicer), GREEDY, 3))) == 3


def drawn(engine, splicer, **sampling):
    return collect(engine.generate(text_prompt(splicer), Sampling(**sampling), 12))


async def test_a_seed_gives_the_same_answer_whatever_else_runs(splicer, language):
    engine = TransformersEngine(language.engine.model, language.engine.end_tokens, 4)
    alone = [await drawn(engine, splicer, temperature=1.5, seed=seed) for seed in range(4)]
    assert len({tuple(tokens) for tokens in alone}) == 4
    seeds = [0, 1, 2, 3] * 3
    together = await asyncio.gather(*(drawn(engine, splicer, temperature=1.5, seed=seed) for seed in seeds))
    assert together == alone * 3


async def test_without_a_seed_answers_differ(splicer, engine):
    answers = [await drawn(engine, splicer, temperature=2.0) for _ in range(4)]
    assert len({tuple(tokens) for tokens in answers}) > 1


@pytest.mark.parametrize("seed", [2**63 - 1, 2**63, 2**64 - 1])
async def test_every_64_bit_seed_is_taken(splicer, engine, seed):
    one, other = [await drawn(engine, splicer, temperature=1.0, seed=seed) for _ in range(2)]
    assert one == other


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 1.5, "top_p": 1e-9},
        {"temperature": 2.0, "top_p": 1e-300},
        {"temperature": 1e-4},
        {"temperature": 1e-30},
    ],
    ids=str,
)
async def test_the_narrowest_choice_is_greedy(splicer, engine, sampling):
    greedy = await collect(engine.generate(text_prompt(splicer), GREEDY, 12))
    for seed in range(5):
        assert await drawn(engine, splicer, seed=seed, **sampling) == greedy


@pytest.mark.parametrize("temperature", [1e-38, 1e-40, 1e-300, 5e-324])
async def test_temperatures_next_to_0_are_greedy(splicer, engine, temperature):
    greedy = await collect(engine.generate(text_prompt(splicer), GREEDY, 12))
    assert await drawn(engine, splicer, temperature=temperature, seed=1) == greedy


async def firsts(engine, splicer, count=400, **sampling):
    """The first token of many answers."""
    return [
        (await collect(engine.generate(text_prompt(splicer), Sampling(seed=seed, **sampling), 1)))[0]
        for seed in range(count)
    ]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
async def test_temperature_is_that_of_the_softmax(splicer, engine, forwards, temperature):
    tokens = await firsts(engine, splicer, temperature=temperature)
    chances = (forwards.logits[0] / temperature).softmax(-1)
    best = int(chances.argmax())
    expected = float(chances[best])
    deviation = (expected * (1 - expected) / len(tokens)) ** 0.5
    assert tokens.count(best) / len(tokens) == pytest.approx(expected, abs=4 * deviation)


async def test_top_p_draws_from_the_nucleus(splicer, engine, forwards):
    tokens = await firsts(engine, splicer, temperature=1.0, top_p=0.5)
    chances = forwards.logits[0].softmax(-1).sort(descending=True)
    # The fewest that reach 0.5 together.
    size = int((chances.values.cumsum(-1) < 0.5).sum()) + 1
    nucleus = chances.indices[:size].tolist()
    assert size > 1
    assert set(tokens) <= set(nucleus)
    assert len(set(tokens)) > 1
    expected = float(chances.values[0] / chances.values[:size].sum())
    deviation = (expected * (1 - expected) / len(tokens)) ** 0.5
    assert tokens.count(nucleus[0]) / len(tokens) == pytest.approx(expected, abs=4 * deviation)


async def test_temperature_0_ignores_the_seed(splicer, engine):
    answers = [await drawn(engine, splicer, temperature=0.0, top_p=0.3, seed=seed) for seed in range(3)]
    assert answers[0] == answers[1] == answers[2]


def test_health_passes_on_a_cpu(engine):
    engine.check_health()


async def test_bfloat16_generates(untrained):
    small = Language(untrained, dtype="bfloat16")
    prompt = text_prompt(small.splicer)
    assert small.embed(prompt).dtype == torch.bfloat16
    engine = small.engine
    tokens = await collect(engine.generate(prompt, GREEDY, 5))
    assert len(tokens) == 5
    assert tokens == await collect(engine.generate(prompt, GREEDY, 5))
    assert all(isinstance(token, int) for token in itertools.chain(tokens))


def test_the_recipe_names_all_that_an_engine_has():
    recipe = (ROOT / "CONTRIBUTING.md").read_text().partition("### An engine")[2].partition("### ")[0]
    members = [name for name in vars(Engine) if not name.startswith("_")]
    assert len(members) > 10
    assert [name for name in members if f"`{name}`" not in recipe] == []
