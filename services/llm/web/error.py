"""Why an image can't be had."""

from __future__ import annotations


class FetchError(Exception):
    """An image can't be had from where it is said to be; ``problem`` is a sentence about its URL without a subject."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
