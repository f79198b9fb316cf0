"""The command's outside: what is wrong is told in one line, and the process ends with its status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from heroserve.cli.help_page import HelpPage
from heroserve.cli.output import complain, open_streams, write_error
from heroserve.cli.pictures import is_picture
from heroserve.cli.told import BAD_INPUT, FAILED, Told

INTERRUPTED = 130
_READER_GONE = 141
# Typer exports its end, and not the class of all that is wrong with arguments.
_UsageError: Any = typer.BadParameter.__bases__[0]


class Heroserve(HelpPage, TyperGroup):
    """Typer's, but for how it ends."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: Any, **extra: Any) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        as_json = "--json" in options
        sys.exit(self._status(arguments, prog_name, as_json, extra))

    def _status(self, arguments: list[str], prog_name: str | None, as_json: bool, extra: dict[str, Any]) -> int:
        extra["standalone_mode"] = False
        try:
            open_streams()
            _forget_no_width()
            if not arguments:
                super().main(["--help"], prog_name, **extra)
                return BAD_INPUT
            # What a command returns is no status; typer's own ends are.
            status = super().main(arguments, prog_name, **extra)
            sys.stdout.flush()
            return status if isinstance(status, int) else 0
        except Told as told:
            complain(told, as_json)
            return told.status
        except _UsageError as error:
            complain(_usage(error), as_json)
            return BAD_INPUT
        except (KeyboardInterrupt, typer.Abort):
            return INTERRUPTED
        except SystemExit as end:
            # Typer's way to end where whoever read has gone.
            if isinstance(end.__context__, BrokenPipeError):
                return _gone()
            raise
        except BrokenPipeError:
            return _gone()
        except OSError as error:
            _let_go_of_stdout()
            complain(write_error(error), as_json)
            return FAILED


def _forget_no_width() -> None:
    """Of a shell that does not know how wide its terminal is: nothing would fit into 0 columns."""
    for variable in ("COLUMNS", "TERMINAL_WIDTH"):
        width = os.environ.get(variable, "")
        if not (width.isascii() and width.isdigit() and int(width[:9])):
            os.environ.pop(variable, None)


def _usage(error: Any) -> Told:
    """What Typer finds wrong with arguments, without its frame and its usage."""
    context, parameter = error.ctx, getattr(error, "param", None)
    command = context.command_path if context else "heroserve"
    more = f"see `{command} --help`"
    if parameter is None:
        problem = error.message if isinstance(error, typer.BadParameter) else error.format_message()
        return Told(problem.rstrip("."), code="USAGE", hint=more)
    if not error.message:
        parameter = _first_missing(parameter, context)
    option = max(parameter.opts, key=len) if parameter.param_type_name == "option" else str(parameter.metavar)
    source = context.get_parameter_source(parameter.name) if context else None
    if source is not None and source.name == "ENVIRONMENT":
        option = str(parameter.envvar)
    if problem := error.message.removeprefix("Value error, ").rstrip("."):
        return Told(f"{option}: {problem}", code="USAGE", option=option)
    return Told(f"{option} is missing", code="USAGE", option=option, hint=more)


def _first_missing(parameter: Any, context: Any) -> Any:
    """Of the arguments that are not there the first; but of IMAGE... QUESTION a picture alone is no question."""
    if context is None or parameter.param_type_name != "argument":
        return parameter
    arguments = [each for each in context.command.params if each.param_type_name == "argument"]
    last = arguments[-1]
    if parameter.nargs == -1 and is_picture(str(context.params.get(last.name) or "")):
        return last
    return next((each for each in arguments if not context.params.get(each.name)), parameter)


def _gone() -> int:
    _let_go_of_stdout()
    return _READER_GONE


def _let_go_of_stdout() -> None:
    """What it still holds is lost; Python would try once more at its end, and write a traceback."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.__stdout__.fileno() if sys.__stdout__ else 1)
        os.close(descriptor)
    except (OSError, ValueError):  # a test's, that is no file
        return
