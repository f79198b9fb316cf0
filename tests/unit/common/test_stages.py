"""Where the time of a request goes."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry, Histogram

from services.common.stages import Stages


def test_a_stage_adds_up_over_its_blocks():
    stages = Stages()
    for _ in range(2):
        with stages.time("read"):
            time.sleep(0.02)
    stages.add("read", 1)
    stages.add("tower", 2)
    assert 1.04 <= stages.seconds["read"] <= 1 + stages.total
    assert stages.seconds["tower"] == 2
    assert list(stages.seconds) == ["read", "tower"]


def test_a_stage_that_fails_is_timed_too():
    stages = Stages()
    with pytest.raises(KeyError), stages.time("read"):
        raise KeyError
    assert stages.seconds.keys() == {"read"}


def test_what_is_no_block_ends_once():
    stages = Stages()
    stage = stages.begin("prefill")
    assert stages.seconds == {}
    time.sleep(0.02)
    stage.end()
    spent = stages.seconds["prefill"]
    assert spent >= 0.02
    time.sleep(0.02)
    stage.end()
    assert stages.seconds["prefill"] == spent


def test_phases_follow_one_another():
    stages = Stages()
    with stages.phases("prefill") as phases:
        time.sleep(0.02)
        phases.next("decode")
        time.sleep(0.02)
    assert list(stages.seconds) == ["prefill", "decode"]
    assert min(stages.seconds.values()) >= 0.02
    assert sum(stages.seconds.values()) <= stages.total


def test_a_phase_that_fails_is_timed_too():
    stages = Stages()
    with pytest.raises(KeyError), stages.phases("prefill"):
        raise KeyError
    assert stages.seconds.keys() == {"prefill"}


def test_a_request_counts_once_a_stage():
    histogram = Histogram("seconds", "", ["stage"], registry=CollectorRegistry())
    stages = Stages()
    stages.add("read", 1)
    stages.add("read", 2)
    stages.add("plan", 4)
    stages.observe(histogram)
    samples = {(s.name, s.labels["stage"]): s.value for f in histogram.collect() for s in f.samples}
    assert (samples["seconds_count", "read"], samples["seconds_sum", "read"]) == (1, 3)
    assert (samples["seconds_count", "plan"], samples["seconds_sum", "plan"]) == (1, 4)
