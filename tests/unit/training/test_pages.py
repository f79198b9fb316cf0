"""Pages of the world: the same everywhere, lines whole and apart, answers right, labels where the print is."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from models.training.corpus import build_vocabulary
from models.training.symbols import FIELDS, list_symbols
from models.world.captions import describe_lines
from models.world.labels import label_crowd, label_tiles, tile_of
from models.world.look import Look, sample_look
from models.world.page import _CODES, KEYS, Page, line_width, sample_page, sample_slip
from models.world.page_questions import PAGE_KINDS, ask_page
from models.world.print import print_page
from models.world.render import render
from models.world.scene import CHARACTERS, TILE, sample_scene
from models.world.tiles import cut_scene, scene_grid


def test_the_same_index_is_the_same_page_and_another_split_another() -> None:
    one, again = (print_page(sample_page("test", 5)) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    pages = {sample_page(split, index) for split in ("train", "validation", "test") for index in range(50)}
    assert len(pages) == 150


@pytest.mark.parametrize("index", range(30))
def test_lines_are_apart_each_in_one_tile_and_read_by_one_label(index: int) -> None:
    page = sample_page("train", index)
    grid = scene_grid(page)
    assert (grid.rows * TILE, grid.cols * TILE) == (page.height, page.width)
    assert len({line.key for line in page.lines}) == len({line.code for line in page.lines}) == len(page.lines) >= 3
    for line in page.lines:
        half = line_width(line.key) / 2
        assert (line.x - half) // TILE == (line.x + half) // TILE
        assert (line.y - 8) // TILE == (line.y + 8) // TILE
    for one, other in itertools.combinations(page.lines, 2):
        assert abs(one.y - other.y) >= 18 or tile_of(page, grid, one) != tile_of(page, grid, other)


def _answer(kind: str, text: str, page: Page) -> str:
    """Read the question's words as a person would and look the answer up on the page."""
    asked = re.fullmatch(r".* (\w+)\?", text)
    assert asked
    word = asked[1]
    if kind == "code":
        (found,) = (line.code for line in page.lines if line.key == word)
        return found
    if kind == "key":
        (found,) = (line.key for line in page.lines if line.code == word)
        return found
    return "yes" if word in {line.key for line in page.lines} else "no"


@pytest.mark.parametrize("kind", PAGE_KINDS)
def test_answers_are_right(kind: str) -> None:
    answers = []
    for index in range(150):
        page = sample_page("validation", index)
        question = ask_page(kind, page, np.random.default_rng(index))
        assert question.answer == _answer(kind, question.text, page), question
        assert bool(question.targets) == (question.answer != "no")
        answers.append(question.answer)
    most = max(answers.count(answer) for answer in set(answers)) / len(answers)
    assert most < 0.62, f"saying one thing always is right {most:.0%} of the time"


def test_labels_lie_on_the_print_and_say_the_whole_line() -> None:
    for index in range(10):
        page = sample_page("train", index)
        grid = scene_grid(page)
        tiles, labels = cut_scene(page, grid), label_tiles(page, grid)
        dark = tiles.astype(int).mean(axis=1) < 150
        inked = dark.reshape(-1, 8, 14, 8, 14).sum(axis=(2, 4)).reshape(len(tiles), 64)
        assert (inked[labels.key == 0] < 12).mean() > 0.98, index
        assert not (labels.key[0] > 0).any(), "a thumbnail is too small to read"
        for line in page.lines:
            mine = labels.key == KEYS.index(line.key) + 1
            assert set(np.nonzero(mine)[0]) == {tile_of(page, grid, line)}
            assert (inked[mine] > 0).mean() > 0.75
            assert set(labels.first[mine]) == {CHARACTERS.index(line.code[0]) + 1}
            assert set(labels.second[mine]) == {CHARACTERS.index(line.code[1]) + 1}
            shown = labels.character[mine]
            assert {CHARACTERS[at - 1] for at in shown[shown > 0]} <= set(line.code)


def test_a_code_is_two_tokens_and_a_label_one() -> None:
    """Else some codes would be other words than others are."""
    tokenizer = build_vocabulary("")
    assert all(tokenizer.tokenize(code) == list(code) for code in _CODES)
    assert all(tokenizer.tokenize(f" {key}") == [f"Ġ{key}"] for key in KEYS)


def test_captions_hold_for_what_they_describe_and_not_for_others() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for index in range(40):
        lines = list(sample_slip(index).lines)
        caption = describe_lines(lines, rng, legible=True)
        assert caption.holds(lines)
        assert not caption.holds(sample_scene("train", index).things)
        wrong += caption.holds(sample_slip(index + 100).lines)
    assert wrong < 12


def test_looks_differ_from_the_plain_picture_which_stays_as_it_is() -> None:
    scene, page = sample_scene("train", 3), sample_page("train", 3)
    for show in (lambda look: render(scene, look), lambda look: print_page(page, look)):
        plain = show(Look())
        for other in (Look(face="DejaVuSerif"), Look(rough=2.0), Look(turn=5), Look(jpeg=30)):
            assert plain.shape == show(other).shape
            assert (show(other) != plain).any()
    looks = [sample_look(np.random.default_rng(seed)) for seed in range(100)]
    assert 30 < sum(look == Look() for look in looks) < 70


def test_a_list_tells_what_the_labels_tell() -> None:
    page = sample_slip(4)
    rows = list_symbols(page, np.random.default_rng(0))
    labels = label_crowd(page)
    told = {tuple(row[[FIELDS.index(name) for name in ("key", "first", "second")]]) for row in rows}
    seen = set(zip(*(getattr(labels, name)[0] for name in ("key", "first", "second")), strict=True))
    assert {each for each in told if each[0]} == {each for each in seen if each[0] > 0}
