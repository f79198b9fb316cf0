"""A whole service that goes and comes back, and callers that leave."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.faults.fault import Fault
from benchmarks.faults.leavers import leavers
from scripts.stack import Stack

_LEAVERS = 4


def _restarted(service: str) -> Fault:
    @contextmanager
    def happens(stack: Stack) -> Iterator[None]:
        process = stack.services[service]
        process.send_signal(signal.SIGTERM)
        process.wait()
        stack.start_encoder() if service == "encoder" else stack.start_llm()
        yield

    return Fault(f"restart-{service}", f"the {service} service stopped, and started anew", happens)


@contextmanager
def _callers_leave(stack: Stack) -> Iterator[None]:
    with leavers(f"localhost:{stack.ports.llm}", _LEAVERS, 0.2):
        yield


def service_faults() -> list[Fault]:
    return [
        _restarted("encoder"),
        _restarted("llm"),
        Fault("callers-leave", f"{_LEAVERS} callers who leave in the middle of answers", _callers_leave, lasts=True),
    ]
