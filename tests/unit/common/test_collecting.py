"""Garbage is collected again once a service's modules are imported."""

from __future__ import annotations

import gc
import importlib

import pytest

from services.common import collecting

collecting.again()


@pytest.mark.parametrize("wanted", [True, False])
def test_as_it_was_before(wanted: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if wanted else gc.disable)()
        importlib.reload(collecting)
        assert not gc.isenabled()
        collecting.again()
        assert gc.isenabled() is wanted
    finally:
        gc.enable()
        importlib.reload(collecting)
        collecting.again()
    assert gc.isenabled() is before


@pytest.mark.parametrize("service", ["encoder", "llm"])
def test_a_services_modules_leave_it_on(service: str) -> None:
    importlib.import_module(f"services.{service}.app")
    assert gc.isenabled()
