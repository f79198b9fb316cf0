"""One budget for several images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.budget import MaxVisualTokens, Retention
from services.llm.encoded import PlannedImage
from services.llm.refusal import Refusal
from services.llm.shares import share

images = st.builds(
    PlannedImage, total=st.integers(1, 5000), kept=st.integers(1, 1), relevance=st.floats(-100, 100, width=32)
)


def counts(budget, *images: tuple[int, float], kept: int = 1) -> list[int]:
    return [each.count for each in share(budget, [PlannedImage(total, kept, fit) for total, fit in images])]


@given(planned=st.lists(images, min_size=2, max_size=8), data=st.data())
def test_all_of_it_is_given_and_nobody_gets_what_is_not_there(planned, data):
    limit = data.draw(st.integers(len(planned), 50_000))
    given = [each.count for each in share(MaxVisualTokens(limit), planned)]
    assert sum(given) == min(limit, sum(image.total for image in planned))
    assert all(1 <= count <= image.total for count, image in zip(given, planned, strict=True))


def test_without_relevance_by_size():
    assert counts(MaxVisualTokens(100), (1000, 0.0), (3000, 0.0)) == [25, 75]
    # As of one question that all fit alike.
    assert counts(MaxVisualTokens(100), (1000, 27.5), (3000, 27.5)) == [25, 75]


def test_what_a_question_is_about_gets_more_and_the_other_half_of_its_share_at_least():
    given = counts(MaxVisualTokens(1000), (2000, 30.0), (2000, 10.0))
    assert given == [750, 250]
    near = counts(MaxVisualTokens(1000), (2000, 21.0), (2000, 20.0))
    assert near[1] == pytest.approx(500 * (0.5 + 0.2689), abs=2)
    assert counts(MaxVisualTokens(1000), (2000, 10.0), (2000, 30.0)) == given[::-1]


def test_what_is_over_goes_to_the_others():
    assert counts(MaxVisualTokens(1000), (100, 90.0), (2000, 0.0), (1000, 0.0)) == [100, 600, 300]
    assert counts(MaxVisualTokens(9999), (100, 90.0), (2000, 0.0)) == [100, 2000]


@pytest.mark.parametrize("budget", [Retention(0.25), None])
def test_a_retention_is_of_all_of_them(budget):
    assert sum(counts(budget, (400, 3.0), (400, 9.0), kept=100)) == 200
    assert counts(Retention(1.0), (400, 3.0), (400, 9.0), kept=400) == [400, 400]


def test_there_is_one_for_each_or_none():
    assert counts(MaxVisualTokens(3), (9, 5.0), (9, -50.0), (1, 0.0)) == [1, 1, 1]
    with pytest.raises(Refusal, match="is 2; shared by 3 images it must be at least 3") as refused:
        counts(MaxVisualTokens(2), (9, 0.0), (9, 0.0), (9, 0.0))
    assert refused.value.role.name == "max_visual_tokens"
