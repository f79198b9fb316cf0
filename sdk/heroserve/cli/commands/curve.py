"""`heroserve curve`."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from typing import Annotated

import typer

from heroserve.batch.many import PATIENT
from heroserve.batch.questions import MATCHES
from heroserve.cli import options, ranges
from heroserve.cli.asking import Asking, jobs, warn_of_empty
from heroserve.cli.calling import llm
from heroserve.cli.comparing import Compared
from heroserve.cli.output import note, write_error
from heroserve.cli.progress import Progress
from heroserve.cli.question_file import Concurrency, Questions, QuestionSource, answer_file, given, no_stdout, served
from heroserve.cli.stopping import SOME_FAILED
from heroserve.cli.told import Told, one_line
from heroserve.curve.matching import Match
from heroserve.curve.plot import svg
from heroserve.curve.points import Curve
from heroserve.curve.tables import as_csv, as_json, markdown

_ANSWERS = "answers.jsonl"
_MOST = 20


def _retentions(text: str) -> list[float]:
    share = ranges.real(0, 1, above=True)
    listed = [each.strip() for each in str(text).split(",")]
    if not all(listed):
        problem = "names no share between two commas" if any(listed) else "is empty"
        raise typer.BadParameter(f"{problem}; it must be numbers above 0 and at most 1, such as 1,0.5,0.2")
    found = sorted({share(each) for each in listed}, reverse=True)
    if len(found) > _MOST:
        raise typer.BadParameter(f"has {len(found)} shares; the limit is {_MOST}")
    return found


def _checked(value: str) -> str:
    _retentions(value)
    return value


def _rule(value: str) -> str:
    if value not in MATCHES:
        raise typer.BadParameter(f"is {ranges.written(value)}; it must be one of {', '.join(MATCHES)}")
    return value


def curve(
    questions: Questions,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            callback=no_stdout,
            help="Keeps the answers, to go on with, and the curve in four formats.",
        ),
    ] = None,
    retentions: Annotated[
        str, typer.Option(metavar="SHARES", callback=_checked, help="Of visual tokens, with commas between.")
    ] = "1,0.5,0.2,0.1,0.05",
    match: Annotated[
        str,
        typer.Option(metavar="RULE", callback=_rule, help="exact, contains or numeric; for lines that do not say."),
    ] = "exact",
    tolerance: Annotated[
        float, typer.Option(metavar="SHARE", parser=ranges.real(0, 1), help="Of numeric: how far off is right.")
    ] = 0.0,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    concurrency: Concurrency = 8,
    target: options.Target = "localhost:9001",
    api_key: options.ApiKey = None,
    tls: options.Tls = False,
    timeout: options.Timeout = 600.0,
    as_json: options.AsJson = False,
) -> None:
    """Measure accuracy against visual tokens on questions of your own, each with its `answer`: prints a table, and with
    -o draws it too."""
    shares = _retentions(retentions)
    source = QuestionSource(questions)
    if source.is_folder:
        raise Told("QUESTIONS: is a folder; name a file of questions, each with its answer", option="QUESTIONS")
    if source.count is None:
        raise Told("QUESTIONS: is a pipe; name a file, which can be read twice", option="QUESTIONS")
    defaults = given(max_tokens=max_tokens, temperature=temperature, seed=seed, stop=stop or None)
    under = {**defaults, **given(system=system)}
    compared = Compared(shares, Match(match, tolerance))  # type: ignore[arg-type]
    with ExitStack() as stack:
        folder = _folder(output) if output is not None else stack.enter_context(tempfile.TemporaryDirectory())
        place = os.path.join(folder, _ANSWERS)
        source.check(place, "--output")
        model = served(target, api_key, tls, timeout)
        file = stack.enter_context(answer_file(place, "--output", under, varying=("retention",)))
        client = stack.enter_context(llm(target, api_key, tls, timeout, retry=PATIENT))
        progress = stack.enter_context(Progress(not as_json, source.count * len(shares)))
        asking = Asking(client, file, progress, defaults, concurrency, model)
        tally = asking.run(compared.jobs(jobs(source, under, model)))
        progress.close()
        warn_of_empty(tally, as_json)
        if asking.stopping.status:
            if output is not None:
                note(f"the answers are in {one_line(place, 200)}: the same command goes on")
            raise typer.Exit(asking.stopping.status)
        found = compared.measure(file.records())
    if output is not None:
        _write(folder, found)
    typer.echo(json.dumps(found.to_dict()) + "\n" if as_json else markdown(found), nl=False)
    if tally.failed:
        raise typer.Exit(SOME_FAILED)


def _folder(path: str) -> str:
    """There, or made. Raises Told."""
    name = one_line(path, 100) or "empty"
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:
        raise Told(f"--output: {name} is a file; name a folder", option="--output") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Told(f"--output: {name} can't be made: {reason}", option="--output") from error
    return path


def _write(folder: str, found: Curve) -> None:
    for name, text in (
        ("curve.md", markdown(found)),
        ("curve.csv", as_csv(found)),
        ("curve.json", as_json(found)),
        ("curve.svg", svg(found)),
    ):
        path = os.path.join(folder, name)
        try:
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            raise write_error(error, path) from error
