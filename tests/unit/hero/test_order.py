"""The order by score and novelty: what greedy search finds, against a search that computes determinants."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from services.encoder.hero import HeroConfig, order_tiles, rank
from services.encoder.hero import order as order_module
from services.encoder.hero.order import greedy_places, patch_quality

DIVERSE = HeroConfig()
SCORE = HeroConfig.paper()


def tiles(seed: int, count: int = 3, patches: int = 30, width: int = 48) -> tuple[torch.Tensor, ...]:
    """Scores with a heavy tail, features in clusters, and padding at some tiles' ends."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.rand(count, patches, generator=draw) ** 4
    clusters = torch.randn(count, 5, width, generator=draw)
    of = torch.randint(5, (count, patches), generator=draw)
    noise = torch.randn(count, patches, width, generator=draw)
    features = clusters[torch.arange(count)[:, None], of] + 0.5 * noise
    valid = torch.arange(patches) < patches - 7 * torch.arange(count)[:, None]
    return scores, features, valid


def most_probable(quality: torch.Tensor, features: torch.Tensor, valid: torch.Tensor, steps: int) -> list[int]:
    """Greedy search by its definition: at each step the patch with which the determinant of L is greatest."""
    unit = torch.nn.functional.normalize(features.double(), dim=-1)
    kernel = quality.double()[:, None] * (unit @ unit.T) * quality.double()
    chosen: list[int] = []
    for _ in range(steps):
        left = [p for p in valid.nonzero().flatten().tolist() if p not in chosen]
        worth = [float(torch.linalg.slogdet(kernel[[*chosen, p]][:, [*chosen, p]]).logabsdet) for p in left]
        chosen.append(left[worth.index(max(worth))])
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_first_half_is_the_greedy_search_and_the_rest_is_by_score(seed: int) -> None:
    scores, features, valid = tiles(seed)
    quality = patch_quality(scores, valid, DIVERSE)
    for tile, order in enumerate(order_tiles(scores, features, valid, DIVERSE)):
        half = (int(valid[tile].sum()) + 1) // 2
        assert order[:half].tolist() == most_probable(quality[tile], features[tile], valid[tile], half)
        rest = order[half:].tolist()
        assert rest == [p for p in rank(scores[tile], valid[tile]).tolist() if p in rest]
        assert sorted(order.tolist()) == valid[tile].nonzero().flatten().tolist()


@pytest.mark.parametrize("seed", range(3))
def test_a_tile_is_ordered_alike_alone_and_in_a_batch(seed: int) -> None:
    scores, features, valid = tiles(seed, count=4)
    together = order_tiles(scores, features, valid, DIVERSE)
    for tile in range(4):
        one = slice(tile, tile + 1)
        assert torch.equal(order_tiles(scores[one], features[one], valid[one], DIVERSE)[0], together[tile])


def test_order_by_score_is_rank_and_reads_no_features() -> None:
    scores, _, valid = tiles(0)
    nothing = torch.full((*scores.shape, 2), torch.nan)
    for tile, order in enumerate(order_tiles(scores, nothing, valid, SCORE)):
        assert torch.equal(order, rank(scores[tile], valid[tile]))


def test_a_copy_waits_for_all_that_is_new() -> None:
    """Twelve patches of three kinds: by score the four of the first kind come first."""
    features = torch.eye(3).repeat_interleave(4, dim=0)[None]
    scores = torch.linspace(1, 0.5, 12)[None]
    valid = torch.ones(1, 12, dtype=torch.bool)
    (order,) = order_tiles(scores, features, valid, DIVERSE)
    assert order.tolist() == [0, 4, 8, 1, 2, 3, 5, 6, 7, 9, 10, 11]


def test_like_patches_are_spread_by_quality() -> None:
    """Where all are equally new, the order is that of the scores."""
    scores = torch.rand(2, 16, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 16, dtype=torch.bool)
    for tile, order in enumerate(order_tiles(scores, torch.eye(16).expand(2, 16, 16), valid, DIVERSE)):
        assert torch.equal(order, rank(scores[tile], valid[tile]))


def test_padding_counts_neither_as_a_patch_nor_in_the_scale() -> None:
    scores, features, valid = tiles(1)
    loud = torch.where(valid, scores, torch.tensor(1e6))
    strange = torch.where(valid[..., None], features, torch.tensor(1e6))
    for one, other in zip(
        order_tiles(scores, features, valid, DIVERSE), order_tiles(loud, strange, valid, DIVERSE), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("scores", [torch.zeros(1, 9), torch.full((1, 9), 0.3)])
def test_equal_scores_and_equal_features_keep_position_order(scores: torch.Tensor) -> None:
    valid = torch.arange(9)[None] != 4
    (order,) = order_tiles(scores, torch.ones(1, 9, 4), valid, DIVERSE)
    assert order.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_zero_features_and_tiles_without_a_patch() -> None:
    valid = torch.tensor([[True] * 6, [False] * 6])
    first, second = order_tiles(torch.arange(12.0).view(2, 6), torch.zeros(2, 6, 3), valid, DIVERSE)
    assert first.tolist() == [5, 4, 3, 2, 1, 0]
    assert second.tolist() == []


def test_values_that_are_not_finite_stay_in_their_tile() -> None:
    """Somebody else says what is wrong with them; here they end nothing, and touch no other tile."""
    scores, features, valid = tiles(2)
    spoilt = features.clone()
    spoilt[1, 3] = torch.nan
    good, bad = order_tiles(scores, features, valid, DIVERSE), order_tiles(scores, spoilt, valid, DIVERSE)
    assert torch.equal(good[0], bad[0])
    assert torch.equal(good[2], bad[2])
    assert sorted(bad[1].tolist()) == valid[1].nonzero().flatten().tolist()


def test_half_precision_features_are_compared_in_float32() -> None:
    scores, features, valid = tiles(3)
    half = features.bfloat16()
    for one, other in zip(
        order_tiles(scores, half, valid, DIVERSE), order_tiles(scores, half.float(), valid, DIVERSE), strict=True
    ):
        assert torch.equal(one, other)


def test_places_are_steps() -> None:
    scores, features, valid = tiles(4)
    places = greedy_places(patch_quality(scores, valid, DIVERSE), features, valid)
    for tile in range(len(places)):
        steps = places[tile][places[tile] < places.shape[1]].tolist()
        assert sorted(steps) == list(range(len(steps)))
        assert bool((places[tile][~valid[tile]] == places.shape[1]).all())


@pytest.mark.parametrize("change", [{"order": "best"}, {"quality_floor": 0.0}, {"quality_floor": -1.0}])
def test_bad_choices_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="order must be one of"):
        replace(DIVERSE, **change)  # type: ignore[arg-type]


def test_many_tiles_are_ordered_in_parts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, features, valid = tiles(5, count=4)
    whole = order_tiles(scores, features, valid, DIVERSE)
    monkeypatch.setattr(order_module, "_KERNEL_VALUES", 3 * valid.shape[1] ** 2)
    for one, other in zip(whole, order_tiles(scores, features, valid, DIVERSE), strict=True):
        assert torch.equal(one, other)
