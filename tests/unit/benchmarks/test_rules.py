"""Which patches each rule keeps."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from benchmarks.accuracy import baselines
from benchmarks.accuracy.bench import Bench, Sight, served_config
from benchmarks.accuracy.dataset import Picture
from benchmarks.accuracy.methods import FIXED, HERO, RIVALS, Asked, Kept, Method, methods
from benchmarks.accuracy.prompts import show
from heroserve.v1.encoder_pb2 import EncodeRequest, VisualTokens
from heroserve.v1.tokens_pb2 import Budget, Image
from models.world.render import render
from models.world.scene import sample_scene
from models.world.tiles import TILER
from services.common.budget import Retention
from services.encoder import parts
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.single_flight import SingleFlight
from services.encoder.images.decode import ImageLimits
from services.encoder.pipeline import EncodePipeline
from services.encoder.ranking.rank_images import rank_images
from services.encoder.request import parse_request
from services.encoder.response import grid_message
from services.encoder.settings import EncoderSettings
from services.encoder.tower import TowerOutput
from services.families.grid import Grid
from services.families.registry import vision_half

RETENTIONS = (1.0, 0.6, 0.4, 0.2, 0.1, 0.05)
# Whose rule is not to spend what HERO spends.
OTHER_BUDGETS = ("reference", *FIXED)


@pytest.fixture(scope="module")
def lines(untrained: str) -> list[Method]:
    return methods(served_config(untrained))


def asked(bench: Bench, picture: Picture, order: int) -> Asked:
    return Asked(bench.embedder.embed(picture.questions[order].text), (picture.index, order))


def count(kept: Kept) -> int:
    return sum(map(len, kept))


def test_every_method_keeps_valid_patches_and_spends_what_hero_spends(
    bench: Bench, pair: list[Picture], sights: list[Sight], lines: list[Method]
) -> None:
    for picture, sight in zip(pair, sights, strict=True):
        question = asked(bench, picture, 0)
        for retention in RETENTIONS:
            wanted = count(lines[0].select(sight, question, retention))
            assert wanted <= retention * sight.mask.sum() + 1e-6
            for line in lines:
                kept = line.select(sight, question, retention)
                assert len(kept) == len(sight.mask)
                for tile, positions in enumerate(kept):
                    assert (np.diff(positions) > 0).all(), line.name
                    assert sight.mask[tile][positions].all(), line.name
                if line.name not in OTHER_BUDGETS:
                    assert count(kept) == wanted, line.name


def test_all_is_kept_of_all(bench: Bench, pair: list[Picture], sights: list[Sight], lines: list[Method]) -> None:
    for picture, sight in zip(pair, sights, strict=True):
        for line in lines:
            if line.name not in OTHER_BUDGETS:
                assert count(line.select(sight, asked(bench, picture, 0), 1.0)) == sight.mask.sum(), line.name


async def served(untrained: str, picture: Picture, question: str, retention: float) -> VisualTokens:
    """The encoder's own answer, from the bytes of a file on."""
    settings = EncoderSettings(model=untrained)
    tower = parts.open_tower(settings)

    async def look(tiles: np.ndarray, mask: np.ndarray) -> tuple:
        return rank_images(tower.run(tiles), [mask], tower.hero)[0], {}

    limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
    pipeline = EncodePipeline(
        encoder_id=tower.encoder_id,
        model="a model",
        checkpoint="digest:0-0",
        tiler=vision_half(parts.model(settings)).tiler,
        decoders=parts.open_decoders(settings),
        flights=SingleFlight(1, 1),
        hero=tower.hero,
        cache=RankOnceCache(MemoryStore(1 << 28, 3600), tower.encoder_id),
        cache_depth=1.0,
        tower=look,
        embedder=parts.open_embedder(settings),
    )
    file = io.BytesIO()
    Pillow.fromarray(render(sample_scene("test", picture.index))).save(file, "PNG")
    request = EncodeRequest(image=Image(data=file.getvalue()), question=question, budget=Budget(retention=retention))
    return await pipeline.visual_tokens(parse_request(request, limits, Retention(0.2)))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("retention", [0.2, 0.05])
async def test_hero_is_what_the_encoder_serves(
    untrained: str, bench: Bench, pair: list[Picture], lines: list[Method], which: int, retention: float
) -> None:
    picture = pair[which]
    order = len(picture.questions) - 1
    tokens = await served(untrained, picture, picture.questions[order].text, retention)
    sight = bench.look(picture)
    shown = show(bench, sight, asked(bench, picture, order), retention, lines[0])
    assert [list(tile.positions) for tile in tokens.tiles] == [tile.tolist() for tile in shown.kept]
    assert tokens.grid == grid_message(sight.grid, TILER.place(sight.grid))
    rows = np.frombuffer(tokens.features.data, np.float32)
    ours = torch.cat([sight.output.features[tile, kept] for tile, kept in enumerate(map(torch.from_numpy, shown.kept))])
    assert rows == pytest.approx(ours.numpy().reshape(-1), abs=1e-4)


def test_each_part_that_is_removed_changes_something(
    bench: Bench, pair: list[Picture], sights: list[Sight], lines: list[Method]
) -> None:
    """But how the same patches are shown, every line keeps others than HERO's somewhere."""
    same = {"original_positions", "every_row", "bfloat16", "int8"}
    for line in lines[1:]:
        differs = any(
            any(
                not np.array_equal(one, other)
                for one, other in zip(
                    line.select(sight, asked(bench, picture, order), retention),
                    lines[0].select(sight, asked(bench, picture, order), retention),
                    strict=True,
                )
            )
            for picture, sight in zip(pair, sights, strict=True)
            for order in range(2)
            for retention in (0.4, 0.2)
        )
        assert differs == (line.name not in same), line.name


def test_methods_travel_to_workers(lines: list[Method]) -> None:
    assert pickle.loads(pickle.dumps(lines)) == lines
    names = [line.name for line in lines]
    assert len(set(names)) == len(names)
    assert names[0] == HERO
    assert set(RIVALS) < set(names)


def crafted(cls_attention: torch.Tensor, grid: Grid) -> Sight:
    """A picture of which only the attention is known."""
    tiles = cls_attention.shape[1]
    empty = torch.zeros(tiles, grid.tile_tokens, 1)
    return Sight(grid, grid.valid(), TowerOutput(empty, cls_attention, empty[:, 0], torch.zeros(tiles, 0)))


# 2 x 2 tiles of 4 x 4 patches, whole; and the same grid around a picture 4 patches high.
WHOLE = Grid(width=56, height=56, rows=2, cols=2, side=4, top=0, bottom=8, left=0, right=8)
PADDED = replace(WHOLE, height=28, top=2, bottom=6)


def test_hired_shares_by_the_first_layer_and_chooses_by_a_late_one() -> None:
    attention = torch.full((6, 5, 2, 16), 1e-3)
    # The first layer's thumbnail looks at its upper right patch and, half as much, at its lower left.
    attention[0, 0, :, 3] = 1.0
    attention[0, 0, :, 12] = 0.5
    # The last but one looks at these of every tile, and the last one at others.
    attention[4, :, :, [5, 6, 7]] = 1.0
    attention[5, :, :, [0, 1, 2]] = 1.0
    kept = baselines.hired(crafted(attention, WHOLE), (), 0.15)
    # 2 + 9 tokens: half of them, rounded down, the thumbnail's; the rest in proportion 2 : 1 to tiles 2 and 3.
    assert [len(tile) for tile in kept] == [5, 0, 4, 2, 0]
    assert {5, 6, 7} <= set(kept[0].tolist())
    assert set(kept[3].tolist()) < {5, 6, 7}


@pytest.mark.parametrize("grid", [WHOLE, PADDED, replace(WHOLE, left=1, right=7), replace(WHOLE, rows=1, bottom=4)])
def test_regions_are_where_the_thumbnail_shows_them(grid: Grid) -> None:
    """Against counting on a grid so fine that every border falls between its cells."""
    attention = torch.rand(grid.tile_tokens, generator=torch.Generator().manual_seed(0))
    fine = 24
    wanted = np.zeros(grid.rows * grid.cols)
    for row in range(grid.side * fine):
        for column in range(grid.side * fine):
            y = grid.top + (row + 0.5) / (grid.side * fine) * (grid.bottom - grid.top)
            x = grid.left + (column + 0.5) / (grid.side * fine) * (grid.right - grid.left)
            tile = int(y // grid.side) * grid.cols + int(x // grid.side)
            wanted[tile] += float(attention[row // fine * grid.side + column // fine]) / fine**2
    assert baselines.regions(grid, attention).numpy() == pytest.approx(wanted)


def test_last_layer_reads_the_last_layer_in_every_tile_alike() -> None:
    attention = torch.full((6, 5, 2, 16), 1e-3)
    attention[5, :, :, [1, 8]] = 1.0
    kept = baselines.last_layer(crafted(attention, WHOLE), (), 0.125)
    assert [tile.tolist() for tile in kept] == [[1, 8]] * 5


def test_uniform_spreads() -> None:
    for high, wide in ((8, 8), (8, 3), (1, 8), (5, 7)):
        mask = np.zeros((8, 8), bool)
        mask[8 - high :, :wide] = True
        for number in range(high * wide + 1):
            positions = baselines.spread(mask.reshape(-1), number)
            assert len(set(positions.tolist())) == number, (high, wide, number)
            assert mask.reshape(-1)[positions].all()
    grid = np.zeros(64, bool)
    grid[baselines.spread(np.ones(64, bool), 16)] = True
    assert (grid.reshape(2, 4, 2, 4).sum(axis=(1, 3)) == 4).all()


def test_random_is_the_same_again_and_never_the_same_elsewhere(sights: list[Sight]) -> None:
    sight = sights[1]

    def flat(seed: tuple[int, ...], retention: float = 0.2) -> list[tuple[int, int]]:
        return [(t, int(p)) for t, tile in enumerate(baselines.random(sight, seed, retention)) for p in tile]

    assert flat((3, 1)) == flat((3, 1))
    assert flat((3, 1)) != flat((3, 2))
    assert flat((3, 1)) != flat((4, 1))
    # Another draw at another retention, not a part of it.
    assert not set(flat((3, 1), 0.1)) <= set(flat((3, 1), 0.2))
    # Thumbnail and tiles alike: each kept as often as it has patches.
    often = np.zeros(len(sight.mask))
    for seed in range(200):
        often += [len(tile) for tile in baselines.random(sight, (seed,), 0.2)]
    assert often / often.sum() == pytest.approx(sight.mask.sum(axis=1) / sight.mask.sum(), abs=0.02)
