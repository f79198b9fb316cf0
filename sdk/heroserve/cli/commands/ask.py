"""`heroserve ask`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import typer

from heroserve.cli import explaining, options
from heroserve.cli.calling import llm
from heroserve.cli.hints import nobody_there
from heroserve.cli.messages import saved
from heroserve.cli.output import harmless, note, warn
from heroserve.cli.pictures import name_of, read_picture
from heroserve.cli.told import one_line
from heroserve.cli.waiting import Waiting
from heroserve.client import Client
from heroserve.errors import HeroserveError
from heroserve.results import Answer
from heroserve.v1.chat_pb2 import ChatDescription

# Asking what a service runs is a courtesy before an answer: it must not use up the answer's time.
_COURTESY_S = 5.0
_UNTRAINED = "the model is untrained (random weights): the answer means nothing"


def ask(
    image: options.ImagePath,
    question: options.Question,
    retention: options.Retention = None,
    max_visual_tokens: options.MaxVisualTokens = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    explain: explaining.ExplainFile = None,
    target: options.Target = "localhost:9001",
    api_key: options.ApiKey = None,
    tls: options.Tls = False,
    timeout: options.Timeout = 120.0,
    as_json: options.AsJson = False,
) -> None:
    """Answer a question about an image, as it is written; then say what was saved."""
    options.one_budget(retention, max_visual_tokens)
    explaining.apart(explain, image)
    with Waiting(not as_json) as waiting, llm(target, api_key, tls, timeout, name_of(image)) as client:
        waiting.stage(f"reading {name_of(image)}")
        picture = read_picture(image)
        stream = client.stream(
            picture,
            question,
            retention=retention,
            max_visual_tokens=max_visual_tokens,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            explain=explain is not None or None,
        )
        waiting.stage(f"connecting to {target}")
        runs = _describe(client, min(timeout, _COURTESY_S))
        means_nothing = runs is not None and not _trained(runs)
        waiting.stage("looking at the picture")
        with stream:
            try:
                for delta in stream:
                    waiting.done()
                    if means_nothing:  # once there is an answer: a refusal is one line
                        warn(_UNTRAINED, as_json)
                        means_nothing = False
                    if not as_json:
                        typer.echo(harmless(delta), nl=False)
            finally:
                waiting.done()
                if stream.text and not as_json:
                    typer.echo()
    if not stream.text.strip():
        warn(_empty(runs), as_json)
    answer = stream.answer
    if as_json:
        typer.echo(json.dumps(_as_dict(answer), ensure_ascii=False))
    else:
        note("\n".join(_bill(answer)))
    if explain is not None:
        explaining.write(explain, answer.explanations, picture, answer.text.strip(), as_json)


def _describe(client: Client, timeout_s: float) -> ChatDescription | None:
    """What runs there; None where the question itself will say what is wrong, if anything is."""
    try:
        return client.describe(timeout_s=timeout_s)
    except HeroserveError as error:
        if nobody_there(error):
            raise  # that is said, and need not be waited for twice
        return None


def _empty(runs: ChatDescription | None) -> str:
    """What to make of an answer of no words."""
    if runs is None or not runs.examples:
        return "the answer is empty: the model ended it at once; ask otherwise, or with a higher --retention"
    asked = ", ".join(f'"{one_line(text, 100)}"' for text in runs.examples[:2])
    return f"the answer is empty: the model has none to that; it can be asked: {asked} (more: heroserve describe)"


def _trained(runs: ChatDescription) -> bool:
    return runs.trained and (runs.encoder.trained or not runs.HasField("encoder"))


def _as_dict(answer: Answer) -> dict[str, object]:
    fields = asdict(replace(answer, explanations=()))
    del fields["explanations"]
    if answer.explanations:
        fields["explanations"] = [explanation.to_dict() for explanation in answer.explanations]
    return fields


def _bill(answer: Answer) -> list[str]:
    usage, timings = answer.usage, answer.timings
    return [
        f"{saved(answer.savings)} · encode {timings.encode_s:.2f} s · "
        f"first token {timings.time_to_first_token_s:.2f} s · total {timings.total_s:.2f} s",
        f"prompt {usage.prompt_tokens} tokens ({usage.prompt_text_tokens} text, {usage.prompt_visual_tokens} "
        f"visual, {usage.prompt_newline_tokens} newline) · answer {usage.completion_tokens} tokens "
        f"({answer.finish_reason})",
    ]
