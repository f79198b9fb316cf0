"""The services' parts on the untrained checkpoint, and two pictures of the world: one whole, one padded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmarks.accuracy.bench import Bench, Sight
from benchmarks.accuracy.dataset import Picture, picture


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bench(untrained: str) -> Bench:
    return Bench(untrained)


@pytest.fixture(scope="session")
def pair() -> list[Picture]:
    found: dict[bool, Picture] = {}
    index = 0
    while len(found) < 2:
        each = picture("test", index)
        if len(each.tiles) >= 5:
            found.setdefault(bool(each.grid.valid().all()), each)
        index += 1
    return [found[True], found[False]]


@pytest.fixture(scope="session")
def sights(bench: Bench, pair: list[Picture]) -> list[Sight]:
    return [bench.look(each) for each in pair]
