"""Signals that come in the midst of each other."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Any

from services.common.stop import Stop

SERVICE = """
import signal
from services.common.stop import Stop
stop = Stop()
signal.signal(signal.SIGTERM, lambda *_: stop.ask())
print("waits", flush=True)
stop.wait()
"""


def test_a_handler_may_be_broken_off_by_itself_anywhere() -> None:
    stop, nested = Stop(), 0

    def ask() -> None:
        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal nested
            nested += 1
            stop.ask()
            return trace

        sys.settrace(trace)
        stop.ask()
        sys.settrace(None)
        stop.wait()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert stop.asked
    assert nested > 2


def test_who_waits_is_woken_by_signals() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waits\n"
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
