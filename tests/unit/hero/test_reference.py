"""``HeroConfig.reference()`` keeps exactly what the authors' rules keep, on random and on crafted images.

About precision: the implementation scores in float32, the restatement in float64. They can only disagree
where a share lies within rounding of a whole number, or where the two patches on either side of a tile's cut
score the same but for rounding. ``well_posed`` measures both distances in float64 and such images are redrawn
(rare), so that equality is asked for exactly, on any machine. Rows are drawn in two ways: softmaxed rows
on small grids, and rows uniform in (0, 1) on grids up to 24 x 24, because a second softmax over 576
probabilities squeezes neighbours in rank to within a few float32 ulps of each other.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
import torch

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
from tests.support.authors_rules import Image, Selection

REFERENCE = HeroConfig.reference()
# Several times the float32 error observed: ~3e-7 on scores, ~3e-6 on shares (cosines are divided by 0.01).
SCORE_MARGIN = 1e-6
SHARE_MARGIN = 1e-5


@dataclass(frozen=True)
class Tower:
    """One image's tower outputs as tensors."""

    attention: torch.Tensor  # [all layers, T, heads, N]
    cls: torch.Tensor  # [T, H]
    relevance_cos: torch.Tensor  # [K]
    valid: torch.Tensor  # bool [T, N]

    def image(self, config: HeroConfig) -> Image:
        return Image(
            attention={layer: self.attention[layer].tolist() for layer in config.layers},
            cls=self.cls.tolist(),
            relevance_cos=self.relevance_cos.tolist(),
            valid=self.valid.tolist(),
        )


def plan(
    tower: Tower, retention: float, config: HeroConfig, *, recorded: bool = False
) -> tuple[int, list[int], list[list[bool]]]:
    """Thumbnail budget, local budgets and keep masks, composed from the public functions."""
    tiles, patches = tower.valid.shape
    counts = tower.valid.sum(dim=1)
    attention = tower.attention[list(config.layers)] if recorded else tower.attention
    scores = patch_scores(attention, config)
    budget = token_budget(counts.tolist(), patches, config, retention=retention)
    worth = tile_importance(saliency_cosines(tower.cls), tower.relevance_cos, counts[1:], patches, config)
    local = allocate(worth, counts[1:], budget.local, config).tolist()
    masks = torch.zeros(tiles, patches, dtype=torch.bool)
    for tile, size in enumerate([budget.thumbnail, *local]):
        masks[tile, rank(scores[tile], tower.valid[tile])[:size]] = True
    return budget.thumbnail, local, masks.tolist()


def draw(rng: random.Random, layers: int, heads: int, side: int, local_tiles: int, softmaxed: bool) -> Tower:
    torch_rng = torch.Generator().manual_seed(rng.getrandbits(32))
    tiles, patches, hidden = local_tiles + 1, side * side, 16
    shape = (layers, tiles, heads, patches)
    if softmaxed:
        with_cls_column = (layers, tiles, heads, patches + 1)
        attention = (2 * torch.randn(with_cls_column, generator=torch_rng)).softmax(dim=-1)[..., 1:]
    else:
        attention = torch.rand(shape, generator=torch_rng)
    common = torch.randn(hidden, generator=torch_rng)
    cls = common + torch.randn(tiles, hidden, generator=torch_rng)
    relevance_cos = 0.22 + 0.02 * torch.randn(local_tiles, generator=torch_rng)
    valid = torch.ones(tiles, side, side, dtype=torch.bool)
    for tile in range(1, tiles):
        kind = rng.choice(["none", "rows", "columns", "speckled", "all"])
        cut = rng.randrange(side)
        if kind == "rows":
            valid[tile, :cut] = False
        elif kind == "columns":
            valid[tile, :, side - cut :] = False
        elif kind == "speckled":
            valid[tile] = torch.rand(side, side, generator=torch_rng) < 0.6
        elif kind == "all" and rng.random() < 0.3:
            valid[tile] = False
    return Tower(attention, cls, relevance_cos, valid.flatten(1))


def well_posed(expected: Selection, valid: list[list[bool]]) -> bool:
    """No share within rounding of a whole number, no cut between two scores within rounding of each other."""
    if len(expected.local) > 1:  # a lone tile's share is the whole number itself, in any precision
        for share in expected.shares:
            if share > 0 and abs(share - round(share)) <= SHARE_MARGIN * share:
                return False
    for scores, allowed, mask in zip(expected.scores, valid, expected.masks, strict=True):
        kept = [score for score, keep in zip(scores, mask, strict=True) if keep]
        dropped = [s for s, ok, keep in zip(scores, allowed, mask, strict=True) if ok and not keep]
        if kept and dropped and min(kept) - max(dropped) <= SCORE_MARGIN * min(kept):
            return False
    return True


def case(seed: int, *, layers: int, softmaxed: bool) -> tuple[Tower, float, HeroConfig, Selection]:
    """A well-posed random image with its retention and what the authors' rules keep of it."""
    config = REFERENCE.for_depth(layers)
    for attempt in range(50):
        rng = random.Random(f"{seed}/{layers}/{softmaxed}/{attempt}")
        side = rng.randint(2, 10 if softmaxed else 24)
        heads = rng.choice([1, 2, 3, 4] if softmaxed else [1, 3, 8, 16])
        tower = draw(rng, layers, heads, side, rng.randint(1, 8), softmaxed)
        retention = rng.choice([rng.uniform(0.02, 1.0), rng.choice([0.05, 0.1, 0.2, 0.25, 0.4, 0.5, 0.8, 1.0])])
        image = tower.image(config)
        expected = authors_rules.select(image, retention, config.low_layers, config.high_layers)
        if well_posed(expected, image.valid):
            return tower, retention, config, expected
    raise AssertionError("no well-posed image in 50 draws")


def check(tower: Tower, retention: float, config: HeroConfig, expected: Selection) -> None:
    for recorded in (False, True):
        thumbnail, local, masks = plan(tower, retention, config, recorded=recorded)
        assert thumbnail == expected.thumbnail
        assert local == expected.local
        assert masks == expected.masks
    scores = patch_scores(tower.attention, config)
    torch.testing.assert_close(scores.double(), torch.tensor(expected.scores).double(), rtol=2e-6, atol=0)


@pytest.mark.parametrize("seed", range(20))
def test_published_tower_keeps_what_the_authors_keep(seed: int) -> None:
    check(*case(seed, layers=24, softmaxed=False))


@pytest.mark.parametrize("seed", range(40))
def test_published_tower_with_softmaxed_rows_keeps_what_the_authors_keep(seed: int) -> None:
    check(*case(seed, layers=24, softmaxed=True))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("layers", [1, 2, 3, 5, 6, 12, 27, 32])
def test_other_depths_keep_what_the_authors_keep(layers: int, seed: int) -> None:
    check(*case(seed, layers=layers, softmaxed=seed % 2 == 0))


@pytest.mark.parametrize("seed", range(300))
def test_allocation_alone_on_the_same_importance(seed: int) -> None:
    """Fed with the same float32 importance both sides compute in float64: no redrawing needed."""
    rng = random.Random(seed)
    tiles = rng.randint(1, 8)
    importance = torch.tensor([rng.choice([rng.random(), rng.random() ** 4]) for _ in range(tiles)])
    counts = [rng.choice([0, rng.randint(0, 576), 576]) for _ in range(tiles)]
    total = int(tiles * 576 * rng.random())
    expected = authors_rules.local_budgets(importance.tolist(), counts, total)
    assert allocate(importance, torch.tensor(counts), total, REFERENCE).tolist() == expected


@pytest.mark.parametrize("seed", range(50))
def test_importance_alone(seed: int) -> None:
    rng = random.Random(seed)
    tiles, patches = rng.randint(1, 8), rng.choice([4, 49, 576])
    saliency = torch.tensor([rng.uniform(-1, 1) for _ in range(tiles)])
    relevance = torch.tensor([rng.uniform(0.1, 0.3) for _ in range(tiles)])
    valid = [rng.randint(0, patches) for _ in range(tiles)]
    expected = authors_rules.importance(saliency.tolist(), relevance.tolist(), valid, patches)
    actual = tile_importance(saliency, relevance, torch.tensor(valid), patches, REFERENCE)
    torch.testing.assert_close(actual.double(), torch.tensor(expected).double(), rtol=1e-5, atol=1e-9)


def test_budgets_are_truncated_as_python_truncates_the_float_product() -> None:
    """0.29 * 100 is 28.999999999999996: the authors get 28 tokens, the default 29."""
    budget = token_budget([100, 100, 60], 100, REFERENCE, retention=0.29)
    assert (budget.thumbnail, budget.local) == (int(100 * 0.29), int(2 * 100 * 0.29)) == (28, 57)
    corrected = token_budget([100, 100, 100], 100, HeroConfig(), retention=0.29)
    assert (corrected.thumbnail, corrected.local) == (29, 58)


def test_the_authors_may_keep_nothing() -> None:
    budget = token_budget([4, 4, 4], 4, REFERENCE, retention=0.1)
    assert (budget.thumbnail, budget.local) == (0, 0)
    assert token_budget([4, 4, 4], 4, HeroConfig(), retention=0.1).thumbnail == 1


# One crafted image a habit: what is expected is written out by hand, and each plausible wrong rule differs.


def crafted(rows: dict[int, list[list[float]]], valid: list[list[bool]], cls: list[list[float]]) -> Tower:
    """Every tile sees ``rows[layer]`` ([heads][N]); layers not named are flat. No tile is more relevant."""
    patches, heads, tiles = len(valid[0]), len(next(iter(rows.values()))), len(valid)
    attention = torch.full((24, tiles, heads, patches), 1 / patches)
    for layer, heads_rows in rows.items():
        attention[layer] = torch.tensor(heads_rows)
    return Tower(attention, torch.tensor(cls), torch.full((tiles - 1,), 0.2), torch.tensor(valid))


def expected_of(tower: Tower, retention: float) -> tuple[int, list[int], list[list[bool]]]:
    selection = authors_rules.select(tower.image(REFERENCE), retention, (5, 6, 7, 8), (22,))
    return selection.thumbnail, selection.local, selection.masks


def one_hot(patch: int, patches: int = 4) -> list[bool]:
    return [index == patch for index in range(patches)]


# Raw means: patch 1 has 0.315, patch 0 has 0.31. The second softmax rewards patch 0's single peak.
PEAK_AGAINST_PLATEAU = [[0.62, 0.35, 0.03, 0.0], [0.0, 0.28, 0.36, 0.36]]


def test_second_softmax_decides() -> None:
    low = dict.fromkeys(range(5, 9), PEAK_AGAINST_PLATEAU)
    tower = crafted({**low, 22: PEAK_AGAINST_PLATEAU}, [[True] * 4] * 2, [[1.0, 0.0]] * 2)
    # Of two tokens the authors give a tile alone one: its importance is a little less than 1.
    expected = (2, [1], [[True, True, False, False], one_hot(0)])
    assert expected_of(tower, 0.5) == expected
    assert plan(tower, 0.5, REFERENCE) == expected
    raw = plan(tower, 0.5, replace(REFERENCE, softmax_again=False))
    assert raw == (2, [1], [[True, True, False, False], one_hot(1)])
    assert plan(tower, 0.25, HeroConfig()) == (1, [1], [one_hot(1), one_hot(1)])


def test_second_softmax_runs_over_padding_too() -> None:
    """A padded patch that draws one head's attention takes weight from that head's other patches."""
    rows = [[0.0, 0.115, 0.0, 0.88], [0.30, 0.21, 0.0, 0.0]]
    tower = crafted(dict.fromkeys([5, 6, 7, 8, 22], rows), [[True] * 4, [True, True, True, False]], [[1.0, 0.0]] * 2)
    expected = (2, [1], [[True, False, False, True], one_hot(0)])
    assert expected_of(tower, 0.5) == expected
    assert plan(tower, 0.5, REFERENCE) == expected
    masked = tower.attention.masked_fill(~tower.valid[:, None, :], float("-inf"))
    over_valid = plan(replace(tower, attention=masked), 0.5, REFERENCE)
    assert over_valid[2][1] == one_hot(1)


def test_padding_counts_in_the_budget() -> None:
    """Two equal tiles of 4 patches, one of them with 2 of padding: R = 0.75 of 8 is 6, of 6 valid ones 4."""
    rows = [[0.4, 0.3, 0.2, 0.1]]
    tower = crafted(
        dict.fromkeys([5, 6, 7, 8, 22], rows),
        [[True] * 4, [True] * 4, [False, False, True, True]],
        [[1.0, 0.0]] * 3,
    )
    # i = 0.2 d + 0.4 v + 0.4 r, with d = (2/3, 1/3): 0.5333 and 0.4667; of 6 tokens 3.2 and 2.8.
    expected = (3, [3, 2], [[True, True, True, False], [True, True, True, False], [False, False, True, True]])
    assert expected_of(tower, 0.75) == expected
    assert plan(tower, 0.75, REFERENCE) == expected
    valid_only = plan(tower, 0.75, replace(REFERENCE, count_padding=False))
    assert valid_only[1] == [2, 1]  # of 4 tokens 2.13 and 1.87, floored
    assert plan(tower, 0.75, HeroConfig())[1] == [2, 2]


def test_remainder_and_excess_are_lost() -> None:
    """Three tiles share 6 of 12: the thumbnail's twin is worth most, and no tile can hold more than 4."""
    rows = [[0.4, 0.3, 0.2, 0.1]]
    tower = crafted(
        dict.fromkeys([5, 6, 7, 8, 22], rows),
        [[True] * 4] * 4,
        [[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.6, 0.8]],
    )
    # v = softmax(10, 6, 6) = (0.9647, 0.0177, 0.0177): i = 0.5859, 0.2071, 0.2071; of 6: 3.52, 1.24, 1.24.
    masks = [[True, True, False, False], [True, True, True, False], one_hot(0), one_hot(0)]
    expected = (2, [3, 1, 1], masks)
    assert expected_of(tower, 0.5) == expected
    assert plan(tower, 0.5, REFERENCE) == expected
    assert plan(tower, 0.5, replace(REFERENCE, spend_remainder=True))[1] == [4, 1, 1]
    # Of 11 at R = 0.95: 6.44, 2.28, 2.28. The first is capped at 4 and its excess goes nowhere.
    assert plan(tower, 0.95, REFERENCE)[1] == expected_of(tower, 0.95)[1] == [4, 2, 2]
    assert plan(tower, 0.95, HeroConfig())[1] == [4, 4, 3]


def test_thumbnail_reads_high_layers_and_local_tiles_low() -> None:
    low = [[0.7, 0.1, 0.1, 0.1]]
    tower = crafted({**dict.fromkeys(range(5, 9), low), 22: [[0.1, 0.1, 0.2, 0.6]]}, [[True] * 4] * 2, [[1.0, 0.0]] * 2)
    expected = (2, [1], [[False, False, True, True], one_hot(0)])
    assert expected_of(tower, 0.5) == expected
    assert plan(tower, 0.5, REFERENCE) == expected
    swapped = replace(REFERENCE, low_layers=REFERENCE.high_layers, high_layers=REFERENCE.low_layers)
    assert plan(tower, 0.5, swapped)[2] == [[True, True, False, False], one_hot(3)]


def test_every_low_layer_counts() -> None:
    """Patch ``n`` peaks in layer ``5 + n``: dropping or adding a layer changes which patch comes last."""
    rows = {5 + n: [[0.7 - 0.01 * n if m == n else 0.1 for m in range(6)]] for n in range(4)}
    rows[4] = [[0.1, 0.1, 0.1, 0.1, 0.9, 0.1]]
    rows[9] = [[0.1, 0.1, 0.1, 0.1, 0.1, 0.9]]
    tower = crafted(rows, [[True] * 6] * 2, [[1.0, 0.0]] * 2)
    expected = [True, True, True, True, False, False]
    # 5 of 6, less the one that is lost.
    assert expected_of(tower, 0.9)[2][1] == expected
    assert plan(tower, 0.9, REFERENCE)[2][1] == expected
    for wrong in [(4, 5, 6, 7), (6, 7, 8, 9), (4, 5, 6, 7, 8), (5, 6, 7, 8, 9)]:
        assert plan(tower, 0.9, replace(REFERENCE, low_layers=wrong))[2][1] != expected


@pytest.mark.parametrize("total", [1, 100, 576])
def test_a_tile_alone_loses_a_token(total: int) -> None:
    """Its density is 1 less the 1e-6 in the denominator, and the authors multiply before they floor."""
    alone = tile_importance(torch.tensor([0.3]), torch.tensor([0.2]), torch.tensor([576]), 576, REFERENCE)
    room = torch.tensor([576])
    assert authors_rules.local_budgets(alone.tolist(), [576], total) == [total - 1]
    assert allocate(alone, room, total, REFERENCE).tolist() == [total - 1]
    assert allocate(alone, room, total, HeroConfig()).tolist() == [total]
