"""`heroserve ask`."""

from __future__ import annotations

import json

import typer

from heroserve.cli import answers, explaining, options
from heroserve.cli.calling import llm
from heroserve.cli.output import harmless, note, warn
from heroserve.cli.pictures import name_of, names_of, read_pictures
from heroserve.cli.waiting import Waiting
from heroserve.requests import generate_request, system, user


def ask(
    images: options.ImagePaths,
    question: options.LastQuestion,
    retention: options.Retention = None,
    max_visual_tokens: options.MaxVisualTokens = None,
    share_budget: options.ShareBudget = False,
    system_text: options.System = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    json_schema: options.JsonSchema = None,
    explain: explaining.ExplainFile = None,
    stream: options.Streamed = True,
    target: options.Target = "localhost:9001",
    api_key: options.ApiKey = None,
    tls: options.Tls = False,
    timeout: options.Timeout = 120.0,
    as_json: options.AsJson = False,
) -> None:
    """Answer a question about an image, or about several; then say what was saved."""
    options.one_budget(retention, max_visual_tokens)
    drawn = explaining.files(explain, images)
    before = [] if system_text is None else [system(system_text)]
    names = names_of(images, f"messages[{len(before)}]") | ({"messages[0]": "--system"} if before else {})
    name = name_of(images[0]) if len(images) == 1 else f"{len(images)} pictures"
    with (
        Waiting(not as_json) as waiting,
        llm(target, api_key, tls, timeout, name if len(images) == 1 else "", names) as client,
    ):
        waiting.stage(f"reading {name}")
        pictures = read_pictures(images, unquoted=True)
        request = generate_request(
            [*before, user(question, *pictures)],
            retention=retention,
            max_visual_tokens=max_visual_tokens,
            share_budget=share_budget or None,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            stop=stop or (),
            json_schema=json_schema,
            explain=explain is not None or None,
        )
        pieces = client.generate(request)
        waiting.stage(f"connecting to {target}")
        runs = answers.describe(client, timeout)
        untrained = answers.means_nothing(runs)
        waiting.stage("looking at the picture" if len(images) == 1 else "looking at the pictures")
        shown = stream and not as_json
        with pieces:
            try:
                for delta in pieces:
                    if untrained:  # once there is an answer: a refusal is one line
                        waiting.done()
                        warn(answers.UNTRAINED, as_json)
                        untrained = False
                    if shown:
                        waiting.done()
                        typer.echo(harmless(delta), nl=False)
            finally:
                waiting.done()
                if pieces.text and shown:
                    typer.echo()
    answer = pieces.answer
    if not stream and answer.text and not as_json:
        typer.echo(harmless(answer.text))
    if not answer.text.strip():
        warn(answers.empty(runs), as_json)
    if as_json:
        typer.echo(json.dumps(answers.as_dict(answer), ensure_ascii=False))
    else:
        note("\n".join(answers.bill(answer)))
    explaining.write_all(drawn, answer, pictures, as_json)
