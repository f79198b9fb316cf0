"""What is wrong with a job, told without a door's words: each door spells the role as its caller wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RoleName = Literal[
    "messages",
    "message_role",
    "parts",
    "text",
    "image",
    "image_data",
    "image_digest",
    "budget",
    "retention",
    "max_visual_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "json_schema",
]


@dataclass(frozen=True)
class Role:
    """What of a job a refusal is about.

    Args:
        name: what it is.
        turn: index of its turn, for what belongs to one.
        item: index within the turn's parts, or of a stop string.
    """

    name: RoleName
    turn: int | None = None
    item: int | None = None


class Refusal(Exception):
    """A job can't be done as it is asked for.

    Args:
        role: what is wrong.
        problem: a sentence about it without a subject; ``{remedy}`` in it stands for the remedy.
        remedy: what could be changed in its place.
        missing: it is not wrong, only not there.
    """

    def __init__(self, role: Role, problem: str, *, remedy: Role | None = None, missing: bool = False) -> None:
        super().__init__(f"{role.name}: {problem}")
        self.role = role
        self.problem = problem
        self.remedy = remedy
        self.missing = missing
