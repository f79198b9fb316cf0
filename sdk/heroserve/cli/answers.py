"""Answers as people and programs are told them, and what is worth saying of the model that gave them."""

from __future__ import annotations

from dataclasses import asdict, replace

from heroserve.cli.hints import nobody_there
from heroserve.cli.messages import saved
from heroserve.cli.told import one_line
from heroserve.client import Client
from heroserve.errors import HeroserveError
from heroserve.results import Answer
from heroserve.v1.chat_pb2 import ChatDescription

# Asking what a service runs is a courtesy before an answer: it must not use up the answer's time.
_COURTESY_S = 5.0
UNTRAINED = "the model is untrained (random weights): the answer means nothing"


def describe(client: Client, timeout_s: float) -> ChatDescription | None:
    """What runs there; None where the question itself will say what is wrong, if anything is."""
    try:
        return client.describe(timeout_s=min(timeout_s, _COURTESY_S))
    except HeroserveError as error:
        if nobody_there(error):
            raise  # that is said, and need not be waited for twice
        return None


def empty(runs: ChatDescription | None) -> str:
    """What to make of an answer of no words."""
    if runs is None or not runs.examples:
        return "the answer is empty: the model ended it at once; ask otherwise, or with a higher --retention"
    asked = ", ".join(f'"{one_line(text, 100)}"' for text in runs.examples[:2])
    return f"the answer is empty: the model has none to that; it can be asked: {asked} (more: heroserve describe)"


def means_nothing(runs: ChatDescription | None) -> bool:
    """Whether weights are known to be random."""
    return runs is not None and not (runs.trained and (runs.encoder.trained or not runs.HasField("encoder")))


def as_dict(answer: Answer) -> dict[str, object]:
    """For JSON; explanations are there where they were asked for."""
    fields = asdict(replace(answer, explanations=()))
    del fields["explanations"]
    if answer.explanations:
        fields["explanations"] = [explanation.to_dict() for explanation in answer.explanations]
    return fields


def bill(answer: Answer) -> list[str]:
    """What it cost and saved, in lines."""
    usage, timings = answer.usage, answer.timings
    return [
        f"{saved(answer.savings)} · encode {timings.encode_s:.2f} s · "
        f"first token {timings.time_to_first_token_s:.2f} s · total {timings.total_s:.2f} s",
        f"prompt {usage.prompt_tokens} tokens ({usage.prompt_text_tokens} text, {usage.prompt_visual_tokens} "
        f"visual, {usage.prompt_newline_tokens} newline) · answer {usage.completion_tokens} tokens "
        f"({answer.finish_reason})",
    ]
