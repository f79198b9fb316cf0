"""Users whose pictures come again: which ones a question shows, and what is made of the answers."""

from __future__ import annotations

import argparse
from itertools import count
from typing import Any

from benchmarks.second_question import Row
from benchmarks.second_question import table as second_table
from benchmarks.sides import Told
from benchmarks.turns import run, size_of, table, table_of_turns, user


class Side:
    """Answers at once; the n-th question has n hundred tokens, half of them cached."""

    def __init__(self) -> None:
        self.asked: list[list[dict[str, Any]]] = []

    async def ask(self, content: list[dict[str, Any]], max_tokens: int, **body: Any) -> Told:
        self.asked.append(content)
        return Told(1.0, 2.0, "", 100 * len(self.asked), 50 * len(self.asked))


async def test_each_question_shows_a_window_with_one_new_picture():
    side = Side()
    pictures = [{"type": "image_url", "number": number} for number in range(6)]
    told = await user(side, pictures, 4, 3)
    windows = [[part["number"] for part in content if part["type"] == "image_url"] for content in side.asked]
    assert windows == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert [answer.prompt for answer in told] == [100, 200, 300, 400]
    assert len({content[-1]["text"] for content in side.asked}) == 4


async def test_no_two_rounds_show_the_same_pictures_and_shares_are_of_all_tokens():
    side, numbers = Side(), count()
    options = argparse.Namespace(users=2, turns=2, window=2, size=None)
    found = [await run(side, numbers, options) for _ in range(2)]
    urls = [part["image_url"]["url"] for content in side.asked for part in content[:-1]]
    assert len(set(urls)) == 2 * 2 * 3
    assert found[0]["cached_share"] == 0.5
    assert len(found[0]["first_s_by_turn"]) == 2
    assert table({"a": found}).splitlines()[-1].startswith("| a | ")


def test_each_turn_has_its_first_tokens_of_all_users_and_rounds():
    found = {"a": [{"first_s_by_turn": [[1.0, 2.0], [5.0, 6.0]]}, {"first_s_by_turn": [[9.0, 3.0], [7.0, 7.0]]}]}
    head, _, line = table_of_turns(found).splitlines()
    assert head.endswith("| 1 | 2 |")
    assert line == "| a | 2.50 (1.00 to 9.00) | 6.50 (5.00 to 7.00) |"


def test_pictures_are_as_large_as_tiles_of_the_shape():
    assert size_of("2x1", "135m") == (672, 336)
    assert size_of("2x1", None) == (224, 112)
    assert size_of("", "135m") is None


def test_the_share_of_second_questions_is_of_all_their_tokens():
    rows = [Row("raster", 0.2, 100, 50, 0.1, 0.2), Row("raster", 0.2, 300, 50, 0.1, 0.2)]
    rows += [Row("base_first", 0.2, 200, 150, 0.05, 0.2)] * 2
    raster, base = second_table(rows).splitlines()[2:]
    assert "| 200 | 25% | 100 (100 to 100) |" in raster
    assert "| 200 | 75% | 50 (50 to 50) |" in base
