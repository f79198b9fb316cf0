"""`heroserve attach`."""

from __future__ import annotations

from typing import Annotated

import typer

from heroserve.cli import checkout


def attach(
    urls: Annotated[
        list[str],
        typer.Argument(metavar="URL", show_default=False, help="http://HOST:PORT of a vLLM, or of several."),
    ],
) -> None:
    """Start the services beside a vLLM that has the language model, until Ctrl-C. In a checkout."""
    checkout.run("attach", urls)
