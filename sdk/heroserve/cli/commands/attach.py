"""`heroserve attach`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from heroserve.cli.told import Told

# Where this package lies in a checkout.
_ROOT = Path(__file__).resolve().parents[4]


def attach(
    urls: Annotated[
        list[str],
        typer.Argument(metavar="URL...", show_default=False, help="http://HOST:PORT of a vLLM, or of several."),
    ],
) -> None:
    """Start the services beside a vLLM that has the language model, until Ctrl-C. In a checkout."""
    if not (_ROOT / "scripts" / "stack" / "__main__.py").is_file():
        raise Told(
            "attach: starts services, and this is the client alone; they run from a checkout of heroserve",
            code="FAILED_PRECONDITION",
            hint="run it there, after `make install`",
        )
    # Back to where it was: output.py keeps libraries from file 2.
    os.dup2(sys.stderr.fileno(), 2)
    os.chdir(_ROOT)
    # It gets signals as if it had been started itself.
    os.execv(sys.executable, [sys.executable, "-m", "scripts.stack", "attach", *urls])  # noqa: S606 - our own module
