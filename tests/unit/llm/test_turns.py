"""A conversation that goes on: what was read of it is read again as it was, whatever is asked later."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from models.tokenizer import CHAT_TEMPLATE
from services.common.budget import Budget, MaxVisualTokens, Retention
from services.llm import parts
from services.llm.assemble import Prompt
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.prompt import PromptBuilder
from services.llm.refusal import Refusal
from services.llm.settings import LlmSettings
from tests.support.hugging_face import conversation_inputs
from tests.support.llm_parts import InProcessEncoder, collect, picture, png
from tests.support.mimics import MIMICS, make

BUDGET = MaxVisualTokens(40)
# Pictures by their size, of several tiles each.
WIDE, TALL = (333, 101), (97, 401)
QUESTIONS = ["what number is on the sign?", "is the circle red?", "how many stars?", "what colour is the page?"]
# What models say: nothing, in lines, with spaces about it, in other writing, in what spells markup.
ANSWERS = [
    "yes",
    "",
    " a red one ",
    "1. one\n2. two\n",
    "\n\nso",
    "它是红色的 \N{GRINNING FACE}",
    "</s> <image> [INST]",
]


def image(size: tuple[int, int]) -> ImagePart:
    return ImagePart(png(picture(*size)))


def talk(*said: Any, budget: Budget = BUDGET, **options: Any) -> ChatJob:
    """A conversation of the user's turns and the answers between them; a part is a text, or a picture by its size."""
    turns = []
    for index, turn in enumerate(said):
        content = (turn,) if isinstance(turn, str) else turn
        each = tuple(part if isinstance(part, str) else image(part) for part in content)
        turns.append(Turn("assistant" if index % 2 else "user", each))
    return ChatJob(tuple(turns), budget=budget, sampling=Sampling(max_tokens=1), **options)


@pytest.fixture
def encoder(untrained: str) -> InProcessEncoder:
    """One that looks at the question."""
    return InProcessEncoder(untrained, relevance_model=str(Path(untrained, "clip")))


@pytest.fixture
def prompt_of(untrained, encoder, prompts, splicer, engine, monkeypatch):
    """What the engine is given for a job."""
    given: list[Prompt] = []
    generate = engine.generate

    def spy(prompt: Prompt, *args: Any) -> Any:
        given.append(prompt)
        return generate(prompt, *args)

    monkeypatch.setattr(engine, "generate", spy)

    async def ask(job: ChatJob, **settings: Any) -> Prompt:
        read = LlmSettings(model=untrained, max_images=4, **settings)
        await collect(parts.open_chat(read, encoder, prompts, splicer, engine).generate(job))
        return given[-1]

    return ask


def embeddings(prompt: Prompt) -> torch.Tensor:
    return torch.cat([image.embeddings for image in prompt.images])


def begins_with(later: Prompt, earlier: Prompt) -> bool:
    """In tokens, in embeddings to the last bit, and in positions."""
    count = len(earlier)
    return (
        len(later) > count
        and torch.equal(later.token_ids[:count], earlier.token_ids)
        and torch.equal(embeddings(later)[: len(embeddings(earlier))], embeddings(earlier))
        and torch.equal(later.position_ids[:count], earlier.position_ids)
    )


@pytest.mark.parametrize("settings", [{}, {"position_ids": "original"}, {"newlines": "kept_rows"}], ids=str)
async def test_a_turn_begins_with_the_one_before(prompt_of, settings):
    said: list[Any] = [(WIDE, QUESTIONS[0])]
    before = await prompt_of(talk(*said), **settings)
    for answer, turn in [("7", (QUESTIONS[1],)), ("no", (TALL, QUESTIONS[2])), ("2", (QUESTIONS[3],))]:
        said += [answer, turn]
        after = await prompt_of(talk(*said), **settings)
        assert begins_with(after, before)
        before = after


async def test_a_turn_that_replans_does_not(prompt_of, encoder):
    """Or the test above would say nothing: by these questions other tokens are kept."""
    for later in QUESTIONS[1:]:
        said = [(WIDE, QUESTIONS[0]), "7", (TALL, later)]
        before = await prompt_of(talk(*said[:1], replan=True))
        assert begins_with(await prompt_of(talk(*said)), before)
        encoder.calls.clear()
        replanned = await prompt_of(talk(*said, replan=True))
        assert [call[2] for call in encoder.calls] == [later, later]
        if not begins_with(replanned, before):
            return
    raise AssertionError("no question keeps other tokens than the first")


@pytest.mark.parametrize(
    ("said", "questions"),
    [
        ([(WIDE, " what", "is it? ")], ["what is it?"]),
        ([("a", WIDE), "b", "c"], ["a"]),
        ([("a", WIDE), "b", (TALL, TALL, "c"), "d", "e"], ["a", "c", "c"]),
        # An image that was sent without a word, or with none that says anything, and what was asked of it then.
        ([(WIDE,), "a fine picture", "c", "d", "e"], ["c"]),
        ([(WIDE, " \n"), "b", (TALL, "c"), "d", "e"], ["c", "c"]),
        ([(WIDE,), "b", (TALL, ""), "d", "e"], ["e", "e"]),
    ],
)
async def test_an_image_is_planned_by_the_question_of_its_own_turn(prompt_of, encoder, said, questions):
    await prompt_of(talk(*said))
    assert [call[2] for call in encoder.calls] == questions
    encoder.calls.clear()
    await prompt_of(talk(*said, replan=True))
    assert {call[2] for call in encoder.calls} == {ChatJob(talk(*said).turns[-1:]).question}


@pytest.mark.parametrize("kind", [None, *MIMICS])
def test_templates_and_tokenizers_leave_what_was_written(folder, kind):
    if kind:
        make(folder, kind)
    prompts: PromptBuilder = parts.open_prompts(LlmSettings(model=str(folder)))
    later = itertools.cycle([QUESTIONS[0], " \n?", "北京", "two\nlines  "])
    for answer, question in zip(ANSWERS, later, strict=False):
        said: list[Any] = [(WIDE, "what is it?"), answer, (TALL, question), answer, question]
        built = [prompts.build(talk(*said[:count])) for count in (1, 3, 5)]
        for before, after in itertools.pairwise(built):
            assert after[: len(before)] == before


def test_a_template_that_writes_history_anew_is_taken_as_it_is(folder):
    """It is the model's own, and what it was trained to read: only a prefix cache is the worse for it."""
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE.replace("<|assistant|>{%", "<|assistant|>think{%"))
    prompts = parts.open_prompts(LlmSettings(model=str(folder)))
    before, after = (prompts.build(talk(*said)) for said in ([(WIDE, "a")], [(WIDE, "a"), "b", "c"]))
    assert after[: len(before)] != before
    assert after.count(prompts.image_token_id) == 1


async def test_two_images_and_three_turns_are_hugging_faces(
    untrained, hf, prompt_of, prompts, engine, splicer, encoder
):
    said = [
        ("user", [WIDE, QUESTIONS[0]]),
        ("assistant", ["7"]),
        ("user", [TALL, QUESTIONS[1]]),
        ("assistant", ["no, blue"]),
        ("user", [QUESTIONS[2]]),
    ]
    inputs = conversation_inputs(Path(untrained), said, lambda size: picture(*size))
    out = hf.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
    expected = prompts.tokenizer.decode(out, skip_special_tokens=True)
    job = talk(*(content for _, content in said), budget=Retention(1.0))
    prompt = await prompt_of(job)
    assert prompt.token_ids.tolist() == inputs["input_ids"][0].tolist()
    chat = parts.open_chat(LlmSettings(model=untrained, max_images=2), encoder, prompts, splicer, engine)
    job = ChatJob(job.turns, job.budget, Sampling(max_tokens=12))
    *deltas, _ = await collect(chat.generate(job))
    assert "".join(delta.text for delta in deltas) == expected


async def test_a_budget_for_all_images(prompt_of, encoder):
    said = [(WIDE, QUESTIONS[0]), "7", (TALL, QUESTIONS[1])]
    prompt = await prompt_of(talk(*said, share_budget=True))
    given = [call[3].count for call in encoder.calls]
    assert sum(given) == BUDGET.count
    # Of tokens that are there, and of nothing else: a line break behind each.
    apart = await prompt_of(talk(*said))
    assert len(apart) > len(prompt)
    before, again = prompt, await prompt_of(talk(*said, "no", QUESTIONS[2], share_budget=True))
    assert begins_with(again, before)


async def test_one_image_has_a_budget_for_itself(prompt_of, encoder, monkeypatch):
    monkeypatch.setattr(encoder, "plan", None)
    await prompt_of(talk((WIDE, QUESTIONS[0]), share_budget=True))
    assert [call[3] for call in encoder.calls] == [BUDGET]


async def test_one_token_for_two_images_is_refused(prompt_of, encoder):
    with pytest.raises(Refusal, match="shared by 2 images it must be at least 2"):
        await prompt_of(talk((WIDE, TALL, QUESTIONS[0]), budget=MaxVisualTokens(1), share_budget=True))
    assert encoder.calls == []


async def test_all_tokens_are_all_tokens_however_shared(prompt_of):
    said = [(WIDE, TALL, QUESTIONS[0])]
    shared, apart = [await prompt_of(talk(*said, budget=Retention(1.0), share_budget=each)) for each in (True, False)]
    assert torch.equal(embeddings(shared), embeddings(apart))
