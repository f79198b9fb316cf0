"""What is told of a start, and the application that is made meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from services.common.building import Building
from services.common.settings import SettingError
from services.common.start_up import StartUp


def test_each_part_and_what_went_on_beside() -> None:
    now = 100.0
    start = StartUp("reading settings", clock=lambda: now)
    now = 100.5
    start.begin("starting Ray")
    now = 104.0
    start.begin("loading the model")
    start.beside("its code", 3.25)
    now = 110.0
    assert (
        start.told() == "10.0 s: reading settings 0.5, starting Ray 3.5, loading the model 6.0; meanwhile its code 3.2"
    )


def test_an_application_is_made_meanwhile() -> None:
    go_on, made = threading.Event(), object()

    def build(share: float) -> Any:
        assert go_on.wait(60)
        return made, share

    building = Building(build, 2.0)
    building.check()
    go_on.set()
    assert building.result() == (made, 2.0)
    building.check()
    assert building.seconds > 0


@pytest.mark.parametrize("error", [SettingError("HEROSERVE_MODEL: no"), SystemExit("heroserve: no"), ImportError("x")])
def test_what_keeps_it_from_being_made_is_raised_where_it_is_asked_for(error: BaseException) -> None:
    def build(share: float) -> Any:
        raise error

    building = Building(build, 1.0)
    for ask in (building.result, building.check):
        with pytest.raises(type(error)) as caught:
            ask()
        assert caught.value is error
