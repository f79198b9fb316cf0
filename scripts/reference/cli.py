"""The command line, as typer documents it."""

from __future__ import annotations

import re

import typer
from typer.cli import get_docs_for_click

from heroserve.cli.app import app
from scripts.reference.markdown import head

_WORDS = """\
The answer goes to stdout, all about it to stderr. What goes wrong is one line with the option or file, the
reason, the limit and what to do; `--json` makes it one line of JSON. Exit statuses:
[README](../../README.md#from-the-shell). `NO_COLOR` is heeded."""


def page() -> str:
    command = typer.main.get_command(app)
    docs = get_docs_for_click(obj=command, ctx=typer.Context(command), name="heroserve")
    _, _, rest = docs.partition("**Usage**")
    # A usage is nothing to type; and what a command does is told in whole below, where its line here leads.
    rest = rest.replace("```console\n$ ", "```text\n")
    rest = re.sub(r"^\* `([\w-]+)`: .*", lambda found: _listed(command, found[1]) or found[0], rest, flags=re.MULTILINE)
    return head("Command line", "sdk/heroserve/cli", _WORDS) + f"\n**Usage**{rest}"


def _listed(group: object, name: str) -> str:
    command = getattr(group, "commands", {}).get(name)
    if command is None:
        return ""
    first = " ".join((command.help or "").partition("\n\n")[0].split())
    return f"* [`{name}`](#heroserve-{name}): {first}"
