"""`heroserve describe`."""

from __future__ import annotations

import json

import typer
from rich.table import Table

from heroserve.cli import options
from heroserve.cli.calling import llm
from heroserve.cli.messages import as_dict, flat
from heroserve.cli.output import console
from heroserve.cli.waiting import Waiting


def describe(
    target: options.Target = "localhost:9001",
    api_key: options.ApiKey = None,
    tls: options.Tls = False,
    timeout: options.Timeout = 10.0,
    as_json: options.AsJson = False,
) -> None:
    """Say what the LLM service runs, and what it can be asked."""
    with Waiting(not as_json) as waiting, llm(target, api_key, tls, timeout) as client:
        waiting.stage(f"connecting to {target}")
        description = as_dict(client.describe())
    if as_json:
        typer.echo(json.dumps(description))
        return
    table = Table("", target)
    for name, value in flat(description):
        table.add_row(name, "\n".join(value) if isinstance(value, list) else str(value))
    console().print(table)
