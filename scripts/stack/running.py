"""A stack that runs for as long as it is needed."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.stack.ending import Ending
from scripts.stack.ports import Ports
from scripts.stack.screen import Screen
from scripts.stack.stack import Stack, StackError


@contextmanager
def running(ports: Ports, ending: Ending | None = None, screen: Screen | None = None) -> Iterator[Stack]:
    """Start one, show what it does, and stop it, whatever ends the block.

    However long it takes to start, as where a model is fetched: it is told to be alive by what it says.

    Raises:
        SettingError, StackError: as ``Stack.start``; the logs stay then.
    """
    ending, screen = ending or Ending(), screen or Screen()
    folder = Path(tempfile.mkdtemp(prefix="heroserve-"))
    stack, keep = Stack(ports, folder, screen.step), False
    try:
        screen.say(f"starting Redis, the encoder and the LLM service; their logs are in {folder}")
        stack.start(math.inf)
        screen.say(f"ready after {screen.seconds:.0f} s")
        yield stack
    except StackError:
        keep = True
        raise
    finally:
        ending.begin()
        screen.say("stopping ...")
        stack.stop(lambda: ending.hurried)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        screen.say("all of it has stopped" if not keep else f"all of it has stopped; the logs stay in {folder}")
