"""Budgets are the same for both services."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heroserve.v1.tokens_pb2 import Budget
from services.common.budget import MaxVisualTokens, Retention
from services.common.errors import InvalidArgument
from services.common.wire import parse_budget


@pytest.mark.parametrize("retention", [0, -0.0, -1, 1.0000001, 2, math.nan, math.inf, -math.inf])
def test_retention_out_of_range(retention):
    with pytest.raises(InvalidArgument, match=r"^budget\.retention: is .*above 0 and at most 1"):
        parse_budget(Budget(retention=retention))


def test_no_token_at_all():
    with pytest.raises(InvalidArgument, match=r"^budget\.max_visual_tokens: is 0; it must be at least 1"):
        parse_budget(Budget(max_visual_tokens=0))


@given(
    st.one_of(
        st.just(Budget()),
        st.builds(Budget, retention=st.floats(0, 1, exclude_min=True)),
        st.builds(Budget, max_visual_tokens=st.integers(1, 2**32 - 1)),
    )
)
def test_what_is_in_range_is_taken(message):
    match parse_budget(message):
        case None:
            assert message == Budget()
        case Retention(share):
            assert message == Budget(retention=share)
        case MaxVisualTokens(count):
            assert message == Budget(max_visual_tokens=count)
