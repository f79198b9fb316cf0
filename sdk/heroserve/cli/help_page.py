"""What -h shows of a command: no type of a flag or an argument, and no tables where a terminal is too narrow."""

from __future__ import annotations

import shutil
from typing import Any

from typer.core import TyperArgument, TyperCommand

# Below it a table's last column has a few characters left.
_TABLES = 60


class HelpPage:
    """Beside one of Typer's classes, before it."""

    rich_markup_mode: Any

    def get_params(self, ctx: Any) -> list[Any]:
        """As Typer's; of a flag nobody types that it is one, and an argument's name says what it is."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
            if isinstance(param, TyperArgument):
                param.display_type_rich = _nothing  # type: ignore[method-assign]
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


def _nothing(ctx: Any) -> None:
    """A type that is not shown."""


class Command(HelpPage, TyperCommand):
    """One of `heroserve`'s."""
