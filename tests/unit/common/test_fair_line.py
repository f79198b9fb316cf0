"""Whose turn is next, in how many turns one's own comes, and who gives way where there is no room."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.fair_line import FairLine, Path


@dataclass(frozen=True)
class One:
    path: Path
    number: int
    size: int = 1


def line_of(*groups: tuple[str, int], size: int = 1) -> FairLine[One]:
    """``("a/x", 3)``: three of the key a's scope x, in this order."""
    line: FairLine[One] = FairLine()
    for path, count in groups:
        for number in range(count):
            line.add(One(tuple(path.split("/")), number, size))
    return line


def served(line: FairLine[One], *, ends: bool = True) -> list[str]:
    """Whose turns come until nobody waits."""
    order = []
    while line.waiting:
        item = line.pop()
        order.append("/".join(item.path) + str(item.number))
        if ends:
            line.end(item.path)
    return order


def test_strangers_take_turns_and_ones_own_stay_in_order():
    assert served(line_of(("a/", 4), ("b/", 2), ("c/", 1))) == ["a/0", "b/0", "c/0", "a/1", "b/1", "a/2", "a/3"]


def test_scopes_take_turns_within_their_key_and_give_it_no_more_of_them():
    line = line_of(("a/x", 2), ("a/y", 2), ("a/z", 2), ("b/x", 2))
    assert served(line) == ["a/x0", "b/x0", "a/y0", "b/x1", "a/z0", "a/x1", "a/y1", "a/z1"]


def test_who_has_fewest_at_work_is_first_however_long_others_take():
    line = line_of(("a/", 6))
    for _ in range(3):
        line.pop()
    line.add(One(("b", ""), 0))
    line.add(One(("b", ""), 1))
    # Nobody ends: two of b's work before a fourth of a's does.
    assert served(line, ends=False) == ["b/0", "b/1", "a/3", "a/4", "a/5"]


def test_turns_are_counted_as_they_come():
    line = line_of(("a/x", 5), ("a/y", 1), ("b/x", 2))
    # One more of each, beside what waits: what comes before it, and it.
    expected = {"a/x": 9, "a/y": 6, "a/z": 5, "b/x": 6, "c/x": 3}
    assert {name: line.turns(tuple(name.split("/"))) for name in expected} == expected
    for name in ("b/x", "a/x"):
        again = line_of(("a/x", 5), ("a/y", 1), ("b/x", 2))
        again.add(One(tuple(name.split("/")), 99))
        assert served(again).index(f"{name}99") + 1 == expected[name]


def test_the_last_of_who_has_most_gives_way():
    line = line_of(("a/x", 3), ("a/y", 5), ("b/", 2))
    assert line.give_way(("c", ""), "waiting", 1) == One(("a", "y"), 4)
    assert (line.waiting, line.size) == (9, 9)
    # Within a key the scope that has most, also for another of the same key.
    assert line.give_way(("a", "z"), "waiting", 1) == One(("a", "y"), 3)
    assert "a/y2" in served(line)


def test_nobody_gives_way_to_who_would_have_as_much():
    line = line_of(("a/", 3), ("b/", 2))
    assert line.give_way(("b", ""), "waiting", 1) is None
    assert line.give_way(("a", ""), "waiting", 1) is None
    assert line.give_way(("c", ""), "waiting", 3) is None
    assert line.give_way(("c", ""), "waiting", 2) is not None
    assert FairLine[One]().give_way(("c", ""), "waiting", 1) is None


def test_bytes_are_another_measure_than_number():
    line = line_of(("many/", 9), size=1)
    line.add(One(("large", ""), 0, size=100))
    assert line.give_way(("c", ""), "size", 5) == One(("large", ""), 0, 100)
    assert line.give_way(("c", ""), "size", 5) == One(("many", ""), 8)
    assert line.size == 8


def test_who_leaves_is_forgotten():
    line = line_of(("a/x", 2), ("b/y", 1))
    gone = line.pop()
    assert not line.remove(gone)
    line.end(gone.path)
    first = One(("c", "z"), 0)
    line.add(first)
    assert line.remove(first)
    assert not line.remove(first)
    assert served(line) == ["b/y0", "a/x1"]
    line.begin(("d", ""))
    line.end(("d", ""))
    assert not line._parties
    assert (line.waiting, line.size, line.working) == (0, 0, 0)
