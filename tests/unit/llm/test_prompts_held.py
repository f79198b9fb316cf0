"""Which prompts wait, by how many an engine says do."""

from __future__ import annotations

from contextlib import ExitStack

from services.llm.prompts_held import PromptsHeld


def test_those_that_came_last_wait_in_tokens():
    held = PromptsHeld()
    with ExitStack() as ended:
        first, second, _, _ = (ended.enter_context(held.prompt(tokens)) for tokens in (1000, 200, 30, 4))
        assert held.tokens(0) == (0, 1234)
        assert held.tokens(1) == (4, 1230)
        assert held.tokens(3) == (234, 1000)
        # One that has been read does not wait, whenever it came.
        second()
        assert held.tokens(3) == (1034, 200)
        # As many as had to make room, the last of them first.
        first()
        assert held.tokens(3) == (234, 1000)
        # More than there are: the engine has not heard yet that some have gone.
        assert held.tokens(9) == (1234, 0)
    assert held.tokens(2) == (0, 0)


def test_prompts_of_one_size_are_told_apart():
    held = PromptsHeld()
    with held.prompt(10), held.prompt(10) as read:
        read()
        assert held.tokens(1) == (10, 10)
    assert held.tokens(0) == (0, 0)
