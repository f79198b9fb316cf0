"""`heroserve chat`."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from heroserve.cli import answers, options, texts
from heroserve.cli.calling import llm
from heroserve.cli.fields import QUESTION
from heroserve.cli.output import complain, note, warn
from heroserve.cli.pictures import complete_picture
from heroserve.cli.talk.conversation import Conversation
from heroserve.cli.talk.lines import Lines
from heroserve.cli.talk.slash import COMMANDS, Slash, check_count, read
from heroserve.cli.talk.turn import Turns
from heroserve.cli.told import Asked, Told, one_line
from heroserve.cli.waiting import Waiting, end
from heroserve.requests import GenerateOptions

_Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGE",
        help="Files or data: URLs that the first question is about; /image adds others later.",
        autocompletion=complete_picture,
        show_default=False,
    ),
]


def chat(
    images: _Images = None,
    retention: options.Retention = None,
    max_visual_tokens: options.MaxVisualTokens = None,
    share_budget: options.ShareBudget = False,
    replan: options.Replan = False,
    system_text: options.System = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    json_schema: options.JsonSchema = None,
    stream: options.Streamed = True,
    target: options.Target = "localhost:9001",
    api_key: options.ApiKey = None,
    tls: options.Tls = False,
    timeout: options.Timeout = 120.0,
    as_json: options.AsJson = False,
) -> None:
    """Talk about images: a question a line, each answered with what was said before.

    Lines that begin with a slash are commands: /image FILE adds a picture, /explain shows what was kept, /reset begins
    anew, /help lists them all. Ctrl-C stops an answer, Ctrl-D ends. Of a pipe each line is a question too; there the
    first failure ends it.
    """
    options.one_budget(retention, max_visual_tokens)
    lines = Lines(COMMANDS)
    if lines.typed:  # who is ended while a line is edited gives the terminal back first
        signal.signal(signal.SIGTERM, end)
    conversation = Conversation(system_text, read(images or ()))
    request: GenerateOptions = {
        "retention": retention,
        "max_visual_tokens": max_visual_tokens,
        "share_budget": share_budget or None,
        "replan": replan or None,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "stop": stop or (),
        "json_schema": json_schema,
        "explain": not as_json,
    }
    with llm(target, api_key, tls, timeout) as client:
        with Waiting(lines.typed and not as_json) as waiting:
            waiting.stage(f"connecting to {target}")
            runs = answers.describe(client, timeout)
        max_images = runs.max_images if runs else 0
        check_count(len(conversation.waiting), max_images)
        if answers.means_nothing(runs):
            warn(answers.UNTRAINED, as_json)
        turns = Turns(
            client,
            conversation,
            request,
            asked=Asked(target, "--target", bool(api_key), tls=tls),
            runs=runs,
            typed=lines.typed,
            streamed=stream,
            as_json=as_json,
        )
        if lines.typed and not as_json:
            note(f"{one_line(runs.model, 200) if runs else target} · /help lists commands, Ctrl-D ends")
        _converse(lines, turns, Slash(conversation, turns, max_images), as_json)


def _converse(lines: Lines, turns: Turns, slash: Slash, as_json: bool) -> None:
    while True:
        try:
            typed = lines.next()
        except KeyboardInterrupt:
            if not lines.typed:
                raise
            typer.echo(err=True)
            note("Ctrl-D or /quit ends")
            continue
        if typed is None:
            return
        line = typed.strip()
        try:
            if line.startswith("/") and not line.startswith("//"):
                if not slash.run(line):
                    return
            elif line:
                turns.ask(_question(line.removeprefix("/")))
        except Told as told:
            if not lines.typed:
                raise
            complain(told, as_json)
        except KeyboardInterrupt:
            if not lines.typed:
                raise
            typer.echo(err=True)


def _question(line: str) -> str:
    try:
        return texts.unicode(line)
    except typer.BadParameter as error:
        raise Told(f"{QUESTION}: {error.message}", option=QUESTION) from None
