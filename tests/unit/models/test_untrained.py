"""What tests on the untrained checkpoint rest on: float32 decides on every machine what it says, and it never ends."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.integration.test_parity import QUESTION, SIZES
from tests.reference import Reference
from tests.support.pictures import picture


@pytest.fixture(scope="module")
def reference(untrained: str) -> Reference:
    return Reference(untrained)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_rounding_changes_no_answer(reference: Reference, size: tuple[int, int]) -> None:
    """Greedy tokens are compared with Hugging Face's: the next best must be far further off than float32 is."""
    inputs = reference.inputs(picture(*size), QUESTION)
    options = {"max_new_tokens": 16, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    rounded = reference.model.generate(**inputs, **options)
    exact = (
        copy.deepcopy(reference.model)
        .double()
        .generate(
            **{name: value.double() if value.is_floating_point() else value for name, value in inputs.items()},
            **options,
        )
    )
    assert rounded.sequences.tolist() == exact.sequences.tolist()
    logits = torch.cat(exact.logits)
    assert len(logits) == 16
    best, second = logits.topk(2).values.T
    noise = (torch.cat(rounded.logits) - logits).abs().max()
    assert noise < 5e-5
    assert (best - second).min() > 1e-3


def test_what_it_says_depends_on_the_picture(reference: Reference) -> None:
    answers = {reference.answer(picture(*size), QUESTION, 16)[0] for size in SIZES}
    assert len(answers) > len(SIZES) / 2


def test_nothing_ends_an_answer(reference: Reference) -> None:
    assert reference.model.generation_config.eos_token_id is None
    assert reference.model.config.text_config.eos_token_id is None
