"""`heroserve batch`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from heroserve.batch.answers import AnswerFile
from heroserve.batch.many import PATIENT
from heroserve.cli import options, texts
from heroserve.cli.asking import Asking, jobs, warn_of_empty
from heroserve.cli.calling import llm
from heroserve.cli.messages import saved
from heroserve.cli.output import note, warn
from heroserve.cli.progress import Progress, Tally
from heroserve.cli.question_file import Concurrency, Questions, QuestionSource, answer_file, given, no_stdout, served
from heroserve.cli.stopping import SOME_FAILED
from heroserve.cli.told import one_line


def batch(
    questions: Questions,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            callback=no_stdout,
            help="Answers, a JSON object a line; what it holds is not asked.",
        ),
    ],
    question: Annotated[
        str | None,
        typer.Option(
            "--question",
            "-q",
            metavar="TEXT",
            callback=texts.question,
            help="Where QUESTIONS is a folder of images.",
        ),
    ] = None,
    retention: options.Retention = None,
    max_visual_tokens: options.MaxVisualTokens = None,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    concurrency: Concurrency = 8,
    target: options.Target = "localhost:9001",
    api_key: options.ApiKey = None,
    tls: options.Tls = False,
    timeout: options.Timeout = 600.0,
    as_json: options.AsJson = False,
) -> None:
    """Answer a file of questions, or one question about each image of a folder; the same command goes on where it was
    stopped. Ends with 3 where some have no answer."""
    options.one_budget(retention, max_visual_tokens)
    source = QuestionSource(questions, question)
    source.check(output, "--output")
    defaults = given(
        retention=retention,
        max_visual_tokens=max_visual_tokens,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=stop or None,
    )
    model = served(target, api_key, tls, timeout)
    under = {**defaults, **given(system=system)}
    with answer_file(output, "--output", under) as file, llm(target, api_key, tls, timeout, retry=PATIENT) as client:
        progress = Progress(not as_json, source.count)
        asking = Asking(client, file, progress, defaults, concurrency, model)
        try:
            with progress:
                asking.run(jobs(source, under, model))
        finally:
            _tell(asking.tally, file, output, as_json)
            warn_of_empty(asking.tally, as_json)
        if not asking.stopping.status and (others := file.answers - asking.tally.before):
            warn(f"of the answers in that file {others} are to other questions; they stay", as_json)
    if asking.stopping.status:
        raise typer.Exit(asking.stopping.status)
    if asking.tally.failed:
        raise typer.Exit(SOME_FAILED)


def _tell(tally: Tally, file: AnswerFile, output: str, as_json: bool) -> None:
    """Also where it was stopped, or the service lost: what is in the file stays."""
    if as_json:
        counts = {"answered": tally.answered, "before": tally.before, "failed": tally.failed, "empty": tally.empty}
        typer.echo(json.dumps({**counts, "savings": asdict(tally.savings), "output": output}))
        return
    there = file.answers + tally.answered
    parts = [f"{there} answer{'' if there == 1 else 's'} in {one_line(output, 200)}"]
    if file.answers:
        parts.append(f"{file.answers} of them from before")
    if tally.failed:
        parts.append(f"{tally.failed} failed: the same command asks them again")
    if tally.answered:
        parts.append(f"{tally.rate:.1f}/s")
    if tally.savings.total:
        parts.append(saved(tally.savings))
    note(" · ".join(parts))
