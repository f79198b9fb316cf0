"""Whose images are whose: a name that none but a key's callers can have."""

from __future__ import annotations

import pytest

from services.common import context
from services.common.errors import Unauthenticated
from services.common.scope import HEADER, scope_of
from tests.unit.common.test_gate import Call, CountingGate


def test_each_key_and_each_scope_within_it_is_its_own() -> None:
    pairs = [(key, within) for key in ("", "a", "b", "ab") for within in ("", "a", "b", scope_of("a", ""))]
    scopes = [scope_of(*pair) for pair in pairs]
    assert len(set(scopes)) == len(pairs)
    assert scope_of("", "") == ""
    assert all(len(scope) == 32 for scope in scopes[1:])
    assert scopes == [scope_of(*pair) for pair in pairs]


def of(gate: CountingGate, *metadata: tuple[str, str]) -> str:
    with gate.guard(Call(metadata)) as request:
        assert context.current() is request
        return request.scope


def test_the_gate_says_whose_a_request_is() -> None:
    gate = CountingGate("one", "two")
    one, two = (("authorization", f"Bearer {key}") for key in ("one", "two"))
    assert of(gate, one) == scope_of("one", "") != of(gate, two)
    assert of(gate, one, (HEADER, "x")) == scope_of("one", "x")
    # What another key's callers are called by is nobody else's name for it.
    assert of(gate, two, (HEADER, of(gate, one))) != of(gate, one)
    assert "one" not in of(gate, one)
    with pytest.raises(Unauthenticated):
        of(gate, ("authorization", "Bearer three"), (HEADER, "x"))


def test_without_keys_all_share_unless_they_say_otherwise() -> None:
    gate = CountingGate()
    assert of(gate) == of(gate, ("authorization", "Bearer any")) == ""
    assert of(gate, (HEADER, "x")) == scope_of("", "x") != ""
