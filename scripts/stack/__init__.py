"""Redis and both services on this machine, each a process of its own: what `make demo` and `make up` start."""

from __future__ import annotations

from scripts.stack.paths import PICTURE, QUESTION, ROOT
from scripts.stack.ports import Ports
from scripts.stack.running import running
from scripts.stack.stack import Stack, StackError

__all__ = ["PICTURE", "QUESTION", "ROOT", "Ports", "Stack", "StackError", "running"]
