"""Conversations that nobody had: what a chat template is tried with. What is imported here is light."""

from __future__ import annotations

from services.llm.job import ImagePart, Turn, TurnRole

IMAGE = ImagePart(digest="probe")
# No template says these by itself.
QUESTION, FIRST, SECOND = "heroquestion", "herofirst", "herosecond"
_ASKED = Turn("user", (QUESTION,))
_SHOWN = Turn("user", (IMAGE, QUESTION))


def of_role(role: TurnRole, texts: tuple[str, ...]) -> list[list[Turn]]:
    """In which a turn of a role, that says ``texts``, is tried."""
    match role:
        case "system":
            return [[Turn(role, texts), _ASKED]]
        case "user":
            return [[Turn(role, (IMAGE, *texts))], [Turn(role, texts)]]
        case "assistant":
            return [[_ASKED, Turn(role, texts), _ASKED]]


def of_two_images() -> tuple[list[Turn], list[Turn]]:
    """Of one turn, and of two turns with an answer between them."""
    return [Turn("user", (IMAGE, IMAGE, QUESTION))], [_SHOWN, Turn("assistant", (FIRST,)), _SHOWN]
