"""What the wire calls by a field, and the command by an option or an argument: one table."""

from __future__ import annotations

import re

IMAGE = "IMAGE"
QUESTION = "QUESTION"

# "[]" stands for any index. A test holds it to all that a request has.
OPTIONS: dict[str, str] = {
    "authorization": "--api-key",
    "budget": "--retention",
    "budget.retention": "--retention",
    "budget.max_visual_tokens": "--max-visual-tokens",
    "explain": "--explain",
    "image": IMAGE,
    "image.data": IMAGE,
    "image.digest": IMAGE,
    "messages": QUESTION,
    "messages[]": QUESTION,
    "messages[].role": QUESTION,
    "messages[].parts": QUESTION,
    "messages[].parts[]": QUESTION,
    "messages[].parts[].text": QUESTION,
    "messages[].parts[].image": IMAGE,
    "messages[].parts[].image.data": IMAGE,
    "messages[].parts[].image.digest": IMAGE,
    "question": QUESTION,
    "replan": "--replan",
    "share_budget": "--share-budget",
    # Nobody asks for these.
    "plan_only": IMAGE,
    "with_base": IMAGE,
    "rows": "--rows",
    "sampling": "--max-tokens",
    "sampling.max_tokens": "--max-tokens",
    "sampling.temperature": "--temperature",
    "sampling.top_p": "--top-p",
    "sampling.seed": "--seed",
    "sampling.stop": "--stop",
    "sampling.stop[]": "--stop",
    "sampling.json_schema": "--json-schema",
}

_INDEX = re.compile(r"\[\d+\]")
# A word alone is a field where a message begins with it; within a sentence it is a word.
_PATH = re.compile(r"[a-z_]+(?:\[\d+\])*(?:\.[a-z_]+(?:\[\d+\])*)+|[a-z_]+\[\d+\]")
_HEAD = re.compile(rf"({_PATH.pattern}|[a-z_]+): ")


def field_of(details: str) -> str:
    """The field that a service's message begins with, as it writes it; "" if it begins with none."""
    head = _HEAD.match(details)
    return head[1] if head and _key(head[1]) in OPTIONS else ""


def option_of(field: str) -> str:
    """What the command calls it."""
    return OPTIONS[_key(field)]


def translated(text: str) -> str:
    """A sentence with the command's names in the place of the wire's."""
    return _PATH.sub(lambda found: OPTIONS.get(_key(found[0]), found[0]), text)


def _key(field: str) -> str:
    return _INDEX.sub("[]", field)
