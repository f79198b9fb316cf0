"""All commands, as one."""

from __future__ import annotations

from typing import Annotated

import typer

from heroserve import __version__
from heroserve.cli import helps
from heroserve.cli.commands.ask import ask
from heroserve.cli.commands.attach import attach
from heroserve.cli.commands.batch import batch
from heroserve.cli.commands.bench import bench
from heroserve.cli.commands.chat import chat
from heroserve.cli.commands.completion import completion
from heroserve.cli.commands.curve import curve
from heroserve.cli.commands.describe import describe
from heroserve.cli.commands.encode import encode
from heroserve.cli.commands.up import up
from heroserve.cli.group import Heroserve
from heroserve.cli.help_page import Command

app = typer.Typer(
    cls=Heroserve,
    pretty_exceptions_enable=False,
    # --install-completion writes into files of the user's shell; `completion` prints what is to be put there.
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (ask, chat, batch, curve, describe, encode, bench, up, attach, completion):
    app.command(cls=Command, help=helps.text(command), epilog=helps.epilog(command.__name__))(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heroserve {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Ask questions about high-resolution images; pay for the visual tokens that matter."""
