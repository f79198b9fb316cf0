"""Budgets with a base that no question changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from services.encoder.hero import HeroConfig, allocate, allocate_with_base

CONFIG = HeroConfig()
Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]


@st.composite
def shares(draw: st.DrawFn) -> Case:
    """Importance with the question's relevance, without it, room, and how many to share out."""
    tiles = draw(st.integers(1, 12))
    weights = st.lists(st.floats(0, 1, width=32), min_size=tiles, max_size=tiles)
    one, other = (torch.tensor(draw(weights)) for _ in range(2))
    room = torch.tensor(draw(st.lists(st.integers(0, 64), min_size=tiles, max_size=tiles)))
    return one / (one.sum() + 1e-6), other / (other.sum() + 1e-6), room, draw(st.integers(0, 64 * tiles))


@given(shares())
def test_every_token_is_spent_and_no_tile_is_below_its_base(case: Case) -> None:
    importance, lasting, room, total = case
    base, kept = allocate_with_base(importance, lasting, room, total, CONFIG)
    assert base.dtype == kept.dtype == torch.int64
    for less, more in ((torch.zeros_like(base), base), (base, kept), (kept, room)):
        assert bool((less <= more).all())
    assert int(kept.sum()) == min(total, int(room.sum()))
    if total < int(room.sum()):
        assert int(base.sum()) == int(total * CONFIG.base_share)
    else:
        assert torch.equal(base, room)


@given(shares(), st.integers(0, 2**32))
def test_a_question_does_not_change_the_base(case: Case, seed: int) -> None:
    importance, lasting, room, total = case
    other = torch.rand(len(importance), generator=torch.Generator().manual_seed(seed))
    one, _ = allocate_with_base(importance, lasting, room, total, CONFIG)
    two, _ = allocate_with_base(other / other.sum(), lasting, room, total, CONFIG)
    assert torch.equal(one, two)


@pytest.mark.parametrize("total", [1, 7, 30, 90])
def test_without_a_base_the_budgets_are_the_methods(total: int) -> None:
    importance = torch.tensor([0.5, 0.1, 0.0, 0.4])
    room = torch.tensor([20, 30, 30, 25])
    none = replace(CONFIG, base_share=0.0)
    base, kept = allocate_with_base(importance, importance.flip(0), room, total, none)
    assert base.tolist() == [0] * 4
    assert torch.equal(kept, allocate(importance, room, total, none))


def test_what_is_above_the_base_goes_where_the_question_wants_it() -> None:
    """Of 100, 25 to each in any case, when all are alike; the other half where more than that is wanted."""
    lasting = torch.full((2,), 0.5)
    base, kept = allocate_with_base(torch.tensor([0.9, 0.1]), lasting, torch.tensor([100, 100]), 100, CONFIG)
    assert base.tolist() == [25, 25]
    assert kept.tolist() == [75, 25]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="base_share must lie in"):
        HeroConfig(base_share=share)
