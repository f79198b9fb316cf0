"""Right or wrong: what is told without decoding is what decoding would tell, and each verdict goes where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.accuracy import evaluate as evaluation
from benchmarks.accuracy import forced
from benchmarks.accuracy.bench import Bench, Sight, served_config
from benchmarks.accuracy.dataset import Picture, picture
from benchmarks.accuracy.evaluate import evaluate_pictures
from benchmarks.accuracy.forced import Forced, is_right
from benchmarks.accuracy.methods import Asked, Method, methods
from benchmarks.accuracy.prompts import Shown, show, text
from models.world.questions import KINDS
from services.llm.assemble import Prompt
from services.llm.job import Sampling

TOKENS = 6


@pytest.fixture(scope="module")
def lines(untrained: str) -> list[Method]:
    return methods(served_config(untrained))


def shown(bench: Bench, picture: Picture, sight: Sight, method: Method, retention: float, order: int = 0) -> Shown:
    asked = Asked(bench.embedder.embed(picture.questions[order].text), (picture.index, order))
    return show(bench, sight, asked, retention, method)


@pytest.fixture(scope="module")
def prompts(bench: Bench, pair: list[Picture], sights: list[Sight], lines: list[Method]) -> list[Prompt]:
    """Of many lengths, compact and with gaps in their positions."""
    chosen = [line for line in lines if line.name in ("hero", "original_positions", "every_row", "bfloat16", "int8")]
    return [
        shown(bench, picture, sight, line, retention, order).prompt(bench, text(bench, picture.questions[order]).ids)
        for picture, sight in zip(pair, sights, strict=True)
        for line in chosen
        for order, retention in ((0, 0.2), (1, 0.05))
    ]


def seen(prompt: Prompt) -> torch.Tensor:
    (image,) = prompt.images
    return image.embeddings


async def greedy(bench: Bench, prompt: Prompt) -> list[int]:
    return [token async for token in bench.engine.generate(prompt, Sampling(), TOKENS)]


async def test_forced_is_greedy(bench: Bench, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the untrained model answers is right; anything else is wrong, in each of its places."""
    monkeypatch.setattr(bench.engine, "end_tokens", frozenset())
    free = [await greedy(bench, prompt) for prompt in prompts]
    # Let the tokens that some answers have at place 3 be those that end one.
    ends = frozenset(tokens[3] for tokens in free[::2])
    monkeypatch.setattr(bench.engine, "end_tokens", ends)
    answers = [await greedy(bench, prompt) for prompt in prompts]
    items, wanted = [], []
    for prompt, tokens in zip(prompts, answers, strict=True):
        stopped = tokens[-1] in ends
        # What comes behind it is known: an end, or a token that is none.
        said = tokens[:-1]
        items.append(Forced(prompt, said))
        wanted.append(stopped)
        for place in range(len(said)):
            wrong = list(said)
            wrong[place] = (wrong[place] + 1) % 300
            items.append(Forced(prompt, wrong))
            wanted.append(False)
        if said:
            items.append(Forced(prompt, said[:-1]))
            wanted.append(False)
    assert any(len(item.answer) > 1 and right for item, right in zip(items, wanted, strict=True))
    for size in (1, 600, 10**6):
        monkeypatch.setattr(forced, "_BATCH_TOKENS", size)
        assert is_right(bench.engine, items) == wanted


def test_the_prompt_is_what_training_teaches(bench: Bench, pair: list[Picture]) -> None:
    """Ids by the service, from a message; and by the recipe, question by question."""
    from models.training.conversation import prompt_prefix, tokenize
    from models.training.llava_next import LLAVA_NEXT

    tokenizer = bench.prompts.tokenizer
    for question in pair[0].questions:
        words = text(bench, question)
        before, after = prompt_prefix(tokenizer, LLAVA_NEXT.before, LLAVA_NEXT.behind)
        taught = tokenize([question], tokenizer)
        ids = [*before, bench.prompts.image_token_id, *after, *taught.ids.tolist()]
        assert ids == [*words.ids, *words.answer]


def test_one_key_one_prompt(bench: Bench, pair: list[Picture], sights: list[Sight], lines: list[Method]) -> None:
    ids = text(bench, pair[1].questions[0]).ids
    by_key: dict[object, Prompt] = {}
    for line in lines:
        for retention in (1.0, 0.6, 0.1):
            each = shown(bench, pair[1], sights[1], line, retention)
            prompt = each.prompt(bench, ids)
            same = by_key.setdefault(each.key, prompt)
            assert torch.equal(seen(prompt), seen(same))
            assert torch.equal(prompt.position_ids, same.position_ids)
    distinct = {(seen(p).numpy().tobytes(), p.position_ids.numpy().tobytes()) for p in by_key.values()}
    assert len(distinct) == len(by_key) < 3 * len(lines)


def test_verdicts_go_where_they_belong(
    bench: Bench, pair: list[Picture], lines: list[Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    def verdict(prompt: Prompt) -> bool:
        return int(seen(prompt).view(torch.int32).sum() + 7 * prompt.position_ids.sum()) % 2 == 0

    monkeypatch.setattr(evaluation, "is_right", lambda engine, items: [verdict(item.prompt) for item in items])
    some = [
        line for line in lines if line.name in ("hero", "hired", "original_positions", "random", "thumbnail", "blind")
    ]
    retentions = (1.0, 0.2, 0.05)
    outcome = evaluate_pictures(bench, pair, some, retentions)
    assert 0.2 < outcome.right.mean() < 0.8
    number = 0
    for scene in pair:
        sight = bench.look(scene)
        for order, question in enumerate(scene.questions):
            assert outcome.kinds[number] == question.kind
            assert outcome.scenes[number] == scene.index
            for m, line in enumerate(some):
                for r, retention in enumerate(retentions):
                    each = shown(bench, scene, sight, line, retention, order)
                    prompt = each.prompt(bench, text(bench, question).ids)
                    assert outcome.right[number, m, r] == verdict(prompt)
                    assert outcome.kept[number, m, r] == sum(map(len, each.kept))
                    assert outcome.kept[number, m, r] + outcome.newlines[number, m, r] == len(each.splice)
            number += 1


def test_relevance_counts_the_tile_of_the_object(bench: Bench, pair: list[Picture]) -> None:
    outcome = evaluate_pictures(bench, pair, [], [])
    number = 0
    for scene in pair:
        sight = bench.look(scene)
        for question, tiles in zip(scene.questions, scene.tiles_asked, strict=True):
            assert outcome.objects[number] == len(question.targets)
            if question.targets:
                embedding = bench.embedder.embed(question.text)
                cosines = [float(np.dot(tile, embedding)) for tile in sight.output.embedding[1:].numpy()]
                assert outcome.first[number] == (int(np.argmax(cosines)) in tiles)
                assert outcome.chance[number] == len(tiles) / len(cosines)
            else:
                assert np.isnan(outcome.first[number])
            number += 1


def test_questions_are_the_same_whoever_asks() -> None:
    one, other = picture("test", 5), picture("test", 5)
    assert one.questions == other.questions
    assert (one.tiles == other.tiles).all()
    assert picture("validation", 5).questions != one.questions
    assert {question.kind for question in one.questions} <= set(KINDS)
    for question, tiles in zip(one.questions, one.tiles_asked, strict=True):
        assert bool(tiles) == bool(question.targets)
        assert all(0 <= tile < one.grid.rows * one.grid.cols for tile in tiles)
