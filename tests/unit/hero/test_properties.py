"""What must hold of the default config for any image: stated as properties, checked with hypothesis.

Examples are derandomised: the same on every machine and run.
"""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.encoder.hero import (
    HeroConfig,
    allocate,
    patch_scores,
    rank,
    saliency_cosines,
    tile_importance,
    token_budget,
)
from tests.support import authors_rules

DEFAULT = HeroConfig()
BOTH = [DEFAULT, HeroConfig.reference()]
examples = settings(max_examples=150, deadline=None, derandomize=True)

weights = st.one_of(
    st.just(0.0),
    st.floats(2.0**-20, 1.0, width=32),
    st.sampled_from([0.25, 0.5]),
    st.floats(2.0**-100, 2.0**-70, width=32),
)


@st.composite
def tiles(draw: st.DrawFn, smallest: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Importance and capacity of some tiles: zeros, ties and specks of importance among them."""
    count = draw(st.integers(smallest, 8))
    importance = draw(st.lists(weights, min_size=count, max_size=count))
    room = st.one_of(st.just(0), st.integers(0, 40), st.just(576))
    capacity = draw(st.lists(room, min_size=count, max_size=count))
    return torch.tensor(importance), torch.tensor(capacity)


def quotas(importance: list[float], capacity: list[int], total: int) -> list[Fraction]:
    """Exact shares min(capacity, lambda * importance) by walking up lambda from one full tile to the next.

    What tiles with importance cannot hold goes to those without, by size.
    """
    left = Fraction(min(total, sum(capacity)))
    share = [Fraction(0)] * len(importance)
    worth = [Fraction(value) for value in importance]
    rest = [tile for tile in range(len(worth)) if worth[tile] > 0 and capacity[tile] > 0]
    for tile in sorted(rest, key=lambda t: capacity[t] / worth[t]):
        offer = left * worth[tile] / sum(worth[t] for t in rest)
        if offer < capacity[tile]:
            break
        share[tile] = Fraction(capacity[tile])
        left -= capacity[tile]
        rest.remove(tile)
    pull = sum((worth[t] for t in rest), Fraction(0))
    if rest:
        for tile in rest:
            share[tile] = left * worth[tile] / pull
        return share
    unseen = [tile for tile in range(len(worth)) if worth[tile] == 0]
    size = sum(capacity[tile] for tile in unseen)
    for tile in unseen:
        share[tile] = left * capacity[tile] / size if size else Fraction(0)
    return share


def gaps(share: list[Fraction]) -> float:
    """How far the closest two fractional parts are from each other, seen on a circle."""
    parts = sorted(value % 1 for value in share)
    around = [*parts, parts[0] + 1]
    return float(min(b - a for a, b in pairwise(around)))


# --- allocate


@examples
@given(tiles(), st.integers(0, 4000), st.booleans())
def test_whole_budget_is_spent_within_every_capacity(
    given_tiles: tuple[torch.Tensor, torch.Tensor], total: int, tight: bool
) -> None:
    importance, capacity = given_tiles
    room = int(capacity.sum())
    total = min(total, max(room - 1, 0)) if tight else total
    before = importance.clone(), capacity.clone()
    kept = allocate(importance, capacity, total, DEFAULT)
    assert kept.dtype == torch.int64
    assert kept.shape == capacity.shape
    assert bool((kept >= 0).all())
    assert bool((kept <= capacity).all())
    assert int(kept.sum()) == min(total, room)
    assert torch.equal(importance, before[0])
    assert torch.equal(capacity, before[1])


@examples
@given(tiles(), st.integers(0, 4000))
def test_reference_never_exceeds_share_or_capacity(given_tiles: tuple[torch.Tensor, torch.Tensor], total: int) -> None:
    importance, capacity = given_tiles
    kept = allocate(importance, capacity, total, HeroConfig.reference())
    assert kept.dtype == torch.int64
    assert bool((kept >= 0).all())
    assert bool((kept <= capacity).all())
    assert bool((kept <= total * importance.double()).all())


@examples
@given(st.lists(weights, min_size=1, max_size=8), st.integers(0, 4000))
def test_quota_rule_where_no_capacity_binds(importance: list[float], total: int) -> None:
    assume(sum(importance) > 0)
    kept = allocate(torch.tensor(importance), torch.full((len(importance),), total), total, DEFAULT).tolist()
    worth = [Fraction(value) for value in importance]
    share = [total * value / sum(worth) for value in worth]
    for tokens, quota in zip(kept, share, strict=True):
        assert abs(tokens - quota) < 1 + 1e-9
    # Largest remainder: no tile that went without had a clearly larger fraction than one that was served.
    served = [q % 1 for t, q in zip(kept, share, strict=True) if t > q]
    without = [q % 1 for t, q in zip(kept, share, strict=True) if t < q]
    if served and without:
        assert min(served) >= max(without) - Fraction(1, 10**9)


@examples
@given(tiles(), st.integers(0, 4000))
def test_excess_of_full_tiles_goes_to_the_others_by_importance(
    given_tiles: tuple[torch.Tensor, torch.Tensor], total: int
) -> None:
    importance, capacity = given_tiles
    share = quotas(importance.tolist(), capacity.tolist(), total)
    kept = allocate(importance, capacity, total, DEFAULT).tolist()
    for tokens, quota, room in zip(kept, share, capacity.tolist(), strict=True):
        assert abs(tokens - quota) < 1 + 1e-9
        if quota == room:
            assert tokens == room


@examples
@given(tiles(smallest=2), st.integers(1, 4000), st.randoms(use_true_random=False))
def test_permuting_tiles_permutes_the_allocation(
    given_tiles: tuple[torch.Tensor, torch.Tensor], total: int, rng: object
) -> None:
    """Unless fractions tie, where the earlier tile wins."""
    importance, capacity = given_tiles
    # Tiles that fill up have no fraction to compare: they are the same in any order.
    share = quotas(importance.tolist(), capacity.tolist(), total)
    partial = [s for s, room in zip(share, capacity.tolist(), strict=True) if 0 < s < room]
    assume(len(partial) < 2 or gaps(partial) > 1e-9)
    order = list(range(len(share)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    kept = allocate(importance, capacity, total, DEFAULT)
    assert torch.equal(allocate(importance[order], capacity[order], total, DEFAULT), kept[order])


@pytest.mark.parametrize(
    ("importance", "capacity", "total", "expected"),
    [
        ([0.6, 0.3, 0.1], [100, 100, 100], 50, [30, 15, 5]),
        ([0.6, 0.3, 0.1], [10, 100, 100], 50, [10, 30, 10]),  # 40 left, three to one
        ([0.6, 0.3, 0.1], [10, 15, 100], 50, [10, 15, 25]),  # the excess fills a second tile in turn
        ([0.6, 0.3, 0.1], [10, 15, 20], 50, [10, 15, 20]),  # more than there is
        ([0.5, 0.5], [10, 10], 7, [4, 3]),  # ties to the earlier tile
        ([0.25, 0.25, 0.25, 0.25], [9, 9, 9, 9], 10, [3, 3, 2, 2]),
        ([0.45, 0.30, 0.25], [9, 9, 9], 2, [1, 1, 0]),  # 0.9, 0.6, 0.5
        ([0.5, 0.0, 0.5], [4, 10, 4], 7, [4, 0, 3]),  # no importance, no token
        ([0.5, 0.0, 0.5], [4, 10, 4], 12, [4, 4, 4]),  # unless nothing else has room
        ([1.0, 0.0, 0.0], [4, 10, 20], 19, [4, 5, 10]),  # by size then
        ([0.0, 0.0], [10, 30], 8, [2, 6]),
        ([0.9, 0.1], [0, 5], 3, [0, 3]),
        ([0.9, 0.1], [0, 0], 3, [0, 0]),
        ([0.7], [576], 100, [100]),
        ([0.7], [50], 100, [50]),
        ([0.0], [50], 10, [10]),
        ([0.6, 0.4], [5, 5], 0, [0, 0]),
        ([], [], 5, []),
    ],
)
def test_allocation_by_hand(importance: list[float], capacity: list[int], total: int, expected: list[int]) -> None:
    room = torch.tensor(capacity, dtype=torch.int64)
    assert allocate(torch.tensor(importance), room, total, DEFAULT).tolist() == expected


def test_reference_gives_tiles_without_importance_nothing() -> None:
    kept = allocate(torch.zeros(3), torch.tensor([5, 5, 5]), 6, HeroConfig.reference())
    assert kept.tolist() == [0, 0, 0]


# --- token_budget


@st.composite
def images(draw: st.DrawFn) -> tuple[list[int], int]:
    """Valid patches of every tile, the thumbnail's first, and patches a tile."""
    patches = draw(st.integers(2, 24)) ** 2
    local = draw(st.lists(st.integers(0, patches), min_size=1, max_size=8))
    return [patches, *local], patches


def spent(valid: list[int], patches: int, **how: float) -> tuple[int, int]:
    """Thumbnail and local tokens after allocation over unequal tiles."""
    budget = token_budget(valid, patches, DEFAULT, **how)  # type: ignore[arg-type]
    importance = torch.tensor([1.0 + (7 * tile) % 5 for tile in range(len(valid) - 1)])
    return budget.thumbnail, int(allocate(importance, torch.tensor(valid[1:]), budget.local, DEFAULT).sum())


@examples
@given(images(), st.integers(1, 1000))
def test_retention_keeps_its_share_of_the_valid_patches(image: tuple[list[int], int], mille: int) -> None:
    """Exactly floor(R * valid), also where the float product falls just short of a whole number."""
    valid, patches = image
    thumbnail, local = spent(valid, patches, retention=mille / 1000)
    assert thumbnail == max(1, patches * mille // 1000)
    assert local == sum(valid[1:]) * mille // 1000


@examples
@given(images(), st.floats(0, 1, exclude_min=True), st.floats(0, 1, exclude_min=True))
def test_monotone_in_retention(image: tuple[list[int], int], one: float, other: float) -> None:
    small = spent(*image, retention=min(one, other))
    large = spent(*image, retention=max(one, other))
    assert small[0] <= large[0]
    assert small[1] <= large[1]


@examples
@given(images(), st.one_of(st.integers(1, 9), st.integers(1, 6000)), st.integers(0, 3))
def test_max_tokens_is_met_exactly_and_monotone(image: tuple[list[int], int], tokens: int, more: int) -> None:
    valid, patches = image
    thumbnail, local = spent(valid, patches, max_tokens=tokens)
    assert thumbnail + local == min(tokens, sum(valid))
    assert 1 <= thumbnail <= patches
    assert local <= sum(valid[1:])
    # In proportion: within a token of what the thumbnail would get by its size.
    assert abs(thumbnail - min(tokens, sum(valid)) * patches / sum(valid)) <= 1
    larger = spent(valid, patches, max_tokens=tokens + more)
    assert thumbnail <= larger[0]
    assert local <= larger[1]


@examples
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(2, 8))
def test_full_retention_keeps_every_valid_patch(seed: int, local_tiles: int, side: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    patches = side * side
    valid = torch.rand(local_tiles + 1, patches, generator=rng) < torch.rand(1, generator=rng)
    valid[0] = True
    scores = patch_scores(torch.rand(5, local_tiles + 1, 2, patches, generator=rng), DEFAULT)
    counts = valid.sum(dim=1)
    cosines = 2 * torch.rand(2, local_tiles, generator=rng) - 1
    importance = tile_importance(cosines[0], cosines[1], counts[1:], patches, DEFAULT)
    for how in ({"retention": 1.0}, {"max_tokens": int(counts.sum())}, {"max_tokens": 10**9}):
        budget = token_budget(counts.tolist(), patches, DEFAULT, **how)  # type: ignore[arg-type]
        sizes = [budget.thumbnail, *allocate(importance, counts[1:], budget.local, DEFAULT).tolist()]
        kept = torch.zeros_like(valid)
        for tile, size in enumerate(sizes):
            kept[tile, rank(scores[tile], valid[tile])[:size]] = True
        assert torch.equal(kept, valid)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"retention": 0.5, "max_tokens": 10},
        {"retention": 0.0},
        {"retention": -0.1},
        {"retention": 1.001},
        {"retention": math.nan},
        {"retention": math.inf},
        {"max_tokens": 0},
        {"max_tokens": -1},
    ],
)
@pytest.mark.parametrize("config", BOTH, ids=["default", "reference"])
def test_budget_out_of_range(config: HeroConfig, how: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"retention|max_tokens"):
        token_budget([16, 16], 16, config, **how)  # type: ignore[arg-type]


# --- rank


@st.composite
def scored(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores with many ties, and which patches are valid."""
    count = draw(st.integers(1, 80))
    scores = draw(st.lists(st.sampled_from([0.0, 1e-8, 0.1, 0.25, 0.7, 1.0]), min_size=count, max_size=count))
    valid = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return torch.tensor(scores), torch.tensor(valid)


@examples
@given(scored())
def test_rank_sorts_valid_positions_and_leaves_ties_in_order(tile: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, valid = tile
    order = rank(scores, valid)
    assert order.dtype == torch.int64
    values = scores.tolist()
    expected = sorted((p for p in range(len(values)) if valid[p]), key=lambda p: (-values[p], p))
    assert order.tolist() == expected


def test_rank_is_stable_on_a_whole_tile() -> None:
    """Sorts may happen to be stable on few elements only."""
    scores = (torch.arange(576) % 3).float()
    valid = torch.arange(576) % 5 != 0
    assert rank(scores, valid).tolist() == sorted((p for p in range(576) if p % 5), key=lambda p: (-(p % 3), p))


@examples
@given(scored(), st.integers(0, 80))
def test_selection_at_any_budget_is_a_prefix_of_the_ranking(
    tile: tuple[torch.Tensor, torch.Tensor], budget: int
) -> None:
    scores, valid = tile
    kept = set(rank(scores, valid)[:budget].tolist())
    mask = authors_rules.keep_mask(scores.tolist(), valid.tolist(), budget)
    assert kept == {position for position, keep in enumerate(mask) if keep}


# --- patch_scores


@examples
@given(st.integers(1, 48), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1), st.booleans())
def test_recorded_layers_and_full_depth_agree(depth: int, tiles_: int, heads: int, seed: int, again: bool) -> None:
    config = replace(DEFAULT.for_depth(depth), softmax_again=again)
    rng = torch.Generator().manual_seed(seed)
    full = torch.rand(depth, tiles_, heads, 9, generator=rng)
    scores = patch_scores(full, config)
    assert scores.shape == (tiles_, 9)
    assert scores.dtype == torch.float32
    assert torch.equal(patch_scores(full[list(config.layers)], config), scores)
    rows = full.softmax(dim=-1) if again else full
    torch.testing.assert_close(scores[0], rows[list(config.high_layers), 0].mean(dim=(0, 1)))
    torch.testing.assert_close(scores[1:], rows[list(config.low_layers), 1:].mean(dim=(0, 2)))


@pytest.mark.parametrize(
    ("low", "high"), [((8, 5), (22,)), ((3, 4), (4, 9)), ((20,), (1, 2)), ((0,), (0,)), ((1, 2, 3), (2,))]
)
def test_layers_in_any_order_and_overlapping(low: tuple[int, ...], high: tuple[int, ...]) -> None:
    config = HeroConfig(low_layers=low, high_layers=high)
    full = torch.arange(24.0)[:, None, None, None].expand(24, 3, 2, 4)
    recorded = full[list(config.layers)]
    expected = torch.tensor([sum(high) / len(high)] + [sum(low) / len(low)] * 2)[:, None].expand(3, 4)
    for attention in (full, recorded):
        torch.testing.assert_close(patch_scores(attention, config), expected)


@pytest.mark.parametrize("recorded", [0, 1, 4, 6, 22])
def test_wrong_number_of_layers(recorded: int) -> None:
    with pytest.raises(ValueError, match="layers"):
        patch_scores(torch.rand(recorded, 2, 2, 4), DEFAULT)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("config", BOTH, ids=["default", "reference"])
def test_half_precision_is_scored_in_float32(config: HeroConfig, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(7)
    attention = (3 * torch.randn(5, 3, 16, 577, generator=rng)).softmax(dim=-1)[..., 1:].to(dtype)
    scores = patch_scores(attention, config)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, patch_scores(attention.float(), config))
    cls = (200 * torch.randn(4, 1024, generator=rng)).to(dtype)  # squares overflow float16
    assert saliency_cosines(cls).dtype == torch.float32
    assert torch.equal(saliency_cosines(cls), saliency_cosines(cls.float()))
    cosines = (0.2 + 0.02 * torch.randn(2, 3, generator=rng)).to(dtype)
    valid = torch.tensor([576, 300, 0])
    importance = tile_importance(cosines[0], cosines[1], valid, 576, config)
    assert importance.dtype == torch.float32
    assert torch.equal(importance, tile_importance(cosines[0].float(), cosines[1].float(), valid, 576, config))
    half = importance.to(dtype)
    assert torch.equal(allocate(half, valid, 700, config), allocate(half.float(), valid, 700, config))


# --- importance

cosine_rows = st.integers(1, 8).flatmap(
    lambda count: st.tuples(
        st.lists(st.floats(-1, 1, width=32), min_size=count, max_size=count),
        st.lists(st.floats(-1, 1, width=32), min_size=count, max_size=count),
        st.lists(st.integers(0, 576), min_size=count, max_size=count),
    )
)


@examples
@given(cosine_rows)
def test_importance_is_a_distribution_and_follows_the_formula(
    rows: tuple[list[float], list[float], list[int]],
) -> None:
    saliency, relevance, valid = rows
    config = replace(DEFAULT, alpha=authors_rules.ALPHA)
    importance = tile_importance(torch.tensor(saliency), torch.tensor(relevance), torch.tensor(valid), 576, config)
    assert bool((importance >= 0).all())
    whole = 1.0 if sum(valid) else 0.8  # no valid patch at all: no density
    assert float(importance.sum()) == pytest.approx(whole, abs=2e-4)  # 1e-6 beside a density of 1/576
    expected = authors_rules.importance(saliency, relevance, valid, 576)
    torch.testing.assert_close(importance.tolist(), expected, rtol=3e-5, atol=1e-7)


@examples
@given(cosine_rows, st.floats(0, 1), st.floats(0, 1))
def test_importance_weighs_its_terms(
    rows: tuple[list[float], list[float], list[int]], alpha: float, weight: float
) -> None:
    saliency, relevance, valid = map(torch.tensor, rows)

    def importance(alpha: float, weight: float, relevance: torch.Tensor | None = relevance) -> torch.Tensor:
        config = HeroConfig(alpha=alpha, density_weight=weight)
        return tile_importance(saliency, relevance, valid, 576, config)

    mixed = (1 - weight) * (alpha * importance(1, 0) + (1 - alpha) * importance(0, 0))
    torch.testing.assert_close(importance(alpha, weight), mixed + weight * importance(0.5, 1))
    torch.testing.assert_close(importance(1, 0), (saliency / 0.1).softmax(dim=0))
    torch.testing.assert_close(importance(0, 0), (relevance / 0.01).softmax(dim=0))
    density = valid / 576
    torch.testing.assert_close(importance(0.5, 1), density / (density.sum() + 1e-6))
    # Without relevance saliency takes all its weight, whatever alpha says.
    torch.testing.assert_close(importance(alpha, weight, None), importance(1, weight))


@examples
@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=8), st.floats(0.05, 1), st.floats(1.5, 4))
def test_lower_temperature_sharpens(cosines: list[float], temperature: float, factor: float) -> None:
    """Of saliency or relevance alone: the best tile gains when its own temperature falls."""
    second, best = sorted(cosines)[-2:]
    assume(best - second > 0.01)
    row, flat = torch.tensor(cosines), torch.zeros(len(cosines))
    valid = torch.full((len(cosines),), 576)
    for name, alpha, pair in (
        ("saliency_temperature", 1.0, (row, flat)),
        ("relevance_temperature", 0.0, (flat, row)),
    ):
        sharp, soft = (
            float(tile_importance(*pair, valid, 576, config)[cosines.index(best)])
            for config in (
                HeroConfig(alpha=alpha, density_weight=0, **{name: value})  # type: ignore[arg-type]
                for value in (temperature, temperature * factor)
            )
        )
        assert sharp > soft or soft > 0.999


@examples
@given(cosine_rows, st.floats(0, 0.5, width=32))
def test_only_differences_of_cosines_count(rows: tuple[list[float], list[float], list[int]], shift: float) -> None:
    saliency, relevance, valid = map(torch.tensor, rows)
    torch.testing.assert_close(
        tile_importance(saliency + shift, relevance + shift, valid, 576, DEFAULT),
        tile_importance(saliency, relevance, valid, 576, DEFAULT),
        rtol=1e-4,
        atol=1e-5,
    )


def test_one_tile_takes_all_importance() -> None:
    importance = tile_importance(torch.tensor([-0.3]), torch.tensor([0.2]), torch.tensor([100]), 576, DEFAULT)
    assert importance.tolist() == pytest.approx([1.0], abs=1e-5)


def test_density_prefers_the_fuller_of_two_equal_tiles() -> None:
    same = torch.tensor([0.3, 0.3])
    fuller, emptier = tile_importance(same, same, torch.tensor([576, 144]), 576, DEFAULT).tolist()
    # 0.2 d + 0.8 * 0.5, d = 0.8 and 0.2
    assert (fuller, emptier) == pytest.approx((0.56, 0.44), abs=1e-5)


@examples
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_saliency_is_the_cosine_with_the_thumbnail(seed: int, local_tiles: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    cls = torch.randn(local_tiles + 1, 12, generator=rng)
    lengths = 0.1 + 50 * torch.rand(local_tiles + 1, 1, generator=rng)
    cosines = saliency_cosines(cls)
    rows = cls.tolist()
    assert cosines.tolist() == pytest.approx([authors_rules.cosine(row, rows[0]) for row in rows[1:]], abs=1e-6)
    torch.testing.assert_close(saliency_cosines(cls * lengths), cosines, rtol=0, atol=1e-6)


# --- HeroConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"low_layers": ()},
        {"high_layers": ()},
        {"low_layers": (-1, 5)},
        {"high_layers": (-2,)},
        {"alpha": -0.01},
        {"alpha": 1.01},
        {"alpha": math.nan},
        {"density_weight": -0.01},
        {"density_weight": 1.01},
        {"saliency_temperature": 0.0},
        {"saliency_temperature": -0.1},
        {"relevance_temperature": 0.0},
        {"relevance_temperature": -0.1},
    ],
)
def test_config_names_what_is_out_of_range(wrong: dict[str, object]) -> None:
    (field,) = wrong
    with pytest.raises(ValueError, match="temperature" if "temperature" in field else field):
        HeroConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("edge", [{"alpha": 0.0}, {"alpha": 1.0}, {"density_weight": 0.0}, {"density_weight": 1.0}])
def test_config_accepts_its_bounds(edge: dict[str, float]) -> None:
    HeroConfig(**edge)  # type: ignore[arg-type]


def test_config_is_published_and_frozen() -> None:
    assert DEFAULT.low_layers == (5, 6, 7, 8)
    assert DEFAULT.high_layers == (22,)
    assert DEFAULT.layers == (5, 6, 7, 8, 22)
    assert (DEFAULT.alpha, DEFAULT.density_weight) == (0.25, 0.2)
    assert (DEFAULT.saliency_temperature, DEFAULT.relevance_temperature) == (0.1, 0.01)
    with pytest.raises(FrozenInstanceError):
        DEFAULT.alpha = 0.1  # type: ignore[misc]


@pytest.mark.parametrize("config", BOTH, ids=["default", "reference"])
@pytest.mark.parametrize("depth", range(1, 49))
def test_for_depth_reads_layers_that_exist_low_before_high(config: HeroConfig, depth: int) -> None:
    scaled = config.for_depth(depth)
    assert scaled.layers == tuple(sorted({*scaled.low_layers, *scaled.high_layers}))
    assert min(scaled.layers) >= 0
    assert max(scaled.layers) < depth
    assert max(scaled.low_layers) <= min(scaled.high_layers)
    assert scaled.low_layers == tuple(range(scaled.low_layers[0], scaled.low_layers[-1] + 1))
    # At the published relative depth, to within a layer.
    assert abs(scaled.low_layers[0] - 5 * depth / 24) <= 1
    assert abs(scaled.low_layers[-1] + 1 - 9 * depth / 24) <= 1
    assert scaled.high_layers == (max(0, depth - 2),)
    assert replace(scaled, low_layers=config.low_layers, high_layers=config.high_layers) == config


def test_for_depth_takes_in_the_layer_that_the_range_ends_in() -> None:
    """Of 6 layers 5..8 of 24 are 1.25 to 2.25: the measurements in docs/method.md want both."""
    assert [DEFAULT.for_depth(depth).low_layers for depth in (6, 12)] == [(1, 2), (2, 3, 4)]


@pytest.mark.parametrize("config", [*BOTH, HeroConfig(low_layers=(3,), high_layers=(20, 21))])
def test_for_depth_of_the_published_tower_changes_nothing(config: HeroConfig) -> None:
    assert config.for_depth(24) == config


@pytest.mark.parametrize("depth", [0, -1])
def test_for_depth_without_layers(depth: int) -> None:
    with pytest.raises(ValueError, match="layers"):
        DEFAULT.for_depth(depth)
