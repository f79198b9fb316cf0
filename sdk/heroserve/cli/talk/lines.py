"""What is typed, with line editing, history and completion where Python has them; or a pipe's lines."""

from __future__ import annotations

import io
import sys

import typer

from heroserve.cli.pictures import complete_picture
from heroserve.cli.told import FAILED, Told

_PROMPT = "> "


class Lines:
    """Args:
    commands: what a slash begins, to be completed.

    Attributes:
        typed: whether somebody sits there.

    Raises Told where there is no stdin.
    """

    def __init__(self, commands: list[str]) -> None:
        if sys.stdin is None or sys.stdin.closed:
            raise Told("chat reads questions from stdin, which is closed", status=FAILED, code="UNKNOWN")
        if isinstance(sys.stdin, io.TextIOWrapper):
            # What is no text is told of, as a question's.
            sys.stdin.reconfigure(errors="surrogateescape")
        self.typed = sys.stdin.isatty()
        self._edited = self.typed and sys.stdout.isatty()
        self._commands = commands
        self._found: list[str] = []
        self._begun = False
        if self._edited:
            self._edit()

    def next(self) -> str | None:
        """A line without its end; None where there are no more. KeyboardInterrupt is Ctrl-C."""
        if self._edited:
            try:
                return input(_PROMPT)
            except EOFError:
                typer.echo()
                return None
        if self.typed:
            typer.echo(_PROMPT, err=True, nl=False)
        line = sys.stdin.readline()
        if not self._begun:  # a file of Windows' may begin with a mark of its own
            self._begun, line = True, line.removeprefix("\ufeff")
        return line.rstrip("\r\n") if line else None

    def _edit(self) -> None:
        """`input` edits by readline once that is there; Windows has none."""
        try:
            import readline
        except ImportError:
            return
        readline.set_completer_delims(" \t")
        readline.set_completer(self._complete)
        libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
        readline.set_auto_history(True)

    def _complete(self, text: str, state: int) -> str | None:
        import readline

        if state == 0:
            before = readline.get_line_buffer()[: readline.get_begidx()]
            self._found = self.completed(before, text)
        return self._found[state] if state < len(self._found) else None

    def completed(self, before: str, word: str) -> list[str]:
        """What a word, behind what is before it in its line, goes on to."""
        if not before.strip():
            return [f"{name} " for name in self._commands if name.startswith(word)] if word.startswith("/") else []
        return complete_picture(word) if before.startswith("/") else []
