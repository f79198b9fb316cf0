"""What -h shows of a command: flags without a type, and no tables where a terminal is too narrow for their columns."""

from __future__ import annotations

import shutil
from typing import Any

from typer.core import TyperCommand

# Below it a table's last column has a few characters left.
_TABLES = 60


class HelpPage:
    """Beside one of Typer's classes, before it."""

    rich_markup_mode: Any

    def get_params(self, ctx: Any) -> list[Any]:
        """As Typer's; of a flag nobody types that it is one."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As Typer's; plain where it is narrow."""
        usual = self.rich_markup_mode
        if shutil.get_terminal_size().columns < _TABLES:
            self.rich_markup_mode = None
        try:
            super().format_help(ctx, formatter)  # type: ignore[misc]
        finally:
            self.rich_markup_mode = usual


class Command(HelpPage, TyperCommand):
    """One of `heroserve`'s."""
