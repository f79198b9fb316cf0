"""The bundled model's stack, once for all that ask it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.stack import Ports, Stack


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(Ports.free(), tmp_path_factory.mktemp("bundled"))
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.delenv("HEROSERVE_MODEL", raising=False)
            stack.start()
        yield stack
    finally:
        stack.stop()
