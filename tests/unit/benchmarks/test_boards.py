"""What pictures of dashboards make of Prometheus' answers: numbers, variables, stacks, buckets."""

from __future__ import annotations

import math

import pytest

from benchmarks.boards import heatmap, palette, timeseries
from benchmarks.boards.answers import Series, legend
from benchmarks.boards.units import UnknownUnit, grain, text
from benchmarks.boards.variables import Window, resolved

# As Grafana writes them.
NUMBERS = [
    (0, "short", None, "0"),
    (7, "short", None, "7"),
    (1189.6, "locale", 0, "1,190"),
    (0.0625, "count:/s", None, "0.0625 /s"),
    (1234, "short", None, "1.23 K"),
    (48_200_000, "short", None, "48.2 Mil"),
    (0.80371, "percentunit", 1, "80.4%"),
    (1, "percentunit", None, "100%"),
    (0, "s", None, "0 s"),
    (0.0182, "s", None, "18.2 ms"),
    (0.0005, "s", None, "500 µs"),
    (12.34, "s", None, "12.3 s"),
    (90, "s", None, "1.50 mins"),
    (2.5, "reqps", None, "2.50 req/s"),
    (0.25, "reqps", None, "0.250 req/s"),
    (1536, "bytes", None, "1.50 KiB"),
    (1536, "binBps", None, "1.50 KiB/s"),
    (3 * 2**30, "bytes", None, "3 GiB"),
    (2.5e9, "flops", None, "2.50 GFLOPS"),
    (2.5e12, "si:FLOP", None, "2.50 TFLOP"),
    (1500, "count:tok/s", None, "1.50K tok/s"),
    (0.0123, "currencyUSD", 3, "$0.012"),
    (math.nan, "s", None, "NaN"),
]


@pytest.mark.parametrize(("value", "unit", "decimals", "told"), NUMBERS)
def test_a_number_is_written_in_its_unit(value, unit, decimals, told):
    assert text(value, unit, decimals) == told


@pytest.mark.parametrize("unit", ["furlongs", "count", "suffix:x"])
def test_a_unit_that_nobody_taught_is_refused(unit):
    with pytest.raises(UnknownUnit, match=unit):
        text(1, unit)


@pytest.mark.parametrize(
    ("value", "unit", "one"),
    [
        (5 << 20, "bytes", 1 << 20),
        (1023, "binBps", 1),
        (0.3, "bytes", 1),
        (150, "s", 60),
        (0.02, "s", 1e-3),
        (9, "cps", 1),
    ],
)
def test_ticks_are_round_in_what_they_are_told_in(value, unit, one):
    assert grain(value, unit) == one


def test_variables_are_put_in_whole():
    words = 'rate(a{b=~"$instance"}[$__rate_interval]) * $__range_s + ${instance_2} + $__range + $1'
    values = {"instance": ".*", "instance_2": "x", "__rate_interval": "40s", "__range": "420s", "__range_s": "420"}
    assert resolved(words, values) == 'rate(a{b=~".*"}[40s]) * 420 + x + 420s + $1'


def test_a_variable_that_there_is_not_is_told():
    with pytest.raises(KeyError, match="gpu_price"):
        resolved("$gpu_price * 2", {"gpu": "1"})


@pytest.mark.parametrize(("every_s", "rate_s"), [(5, 20), (15, 60)])
def test_a_rate_is_of_four_scrapes(every_s, rate_s):
    window = Window(1000.0, 1420.0, every_s)
    assert window.variables["__rate_interval"] == f"{rate_s}s"
    assert window.variables["__range"] == "420s"
    assert window.variables["__range_s"] == "420"


def test_a_legend_names_labels_that_are_there_or_says_their_name():
    assert legend("{{door}} {{ code }}, {{nobody}}", {"door": "http", "code": "OK"}) == "http OK, nobody"


def test_stacks_stand_on_what_is_there_at_their_time():
    below = Series("a", (0.0, 10.0, 20.0), (1.0, math.nan, 3.0))
    above = Series("b", (0.0, 10.0, 20.0, 30.0), (1.0, 1.0, 1.0, 1.0))
    first, second = timeseries.stacked([below, above])
    assert first == [(0.0, 0.0, 1.0), (20.0, 0.0, 3.0)]
    assert second == [(0.0, 1.0, 2.0), (10.0, 0.0, 1.0), (20.0, 3.0, 4.0), (30.0, 0.0, 1.0)]


def test_a_line_breaks_where_nothing_was_for_long():
    line = [(0.0, 0.0, 1.0), (60.0, 0.0, 1.0), (121.0, 0.0, 1.0)]
    assert timeseries.runs(line, 60.0) == [line[:2], line[2:]]


def test_buckets_are_told_apart():
    """Prometheus' count those below, too; a bucket may lack a time, and a counter begin anew meanwhile."""
    ordered = [
        Series("0.1", (0.0, 10.0), (2.0, 1.0)),
        Series("0.2", (0.0, 10.0), (5.0, 1.0)),
        Series("+Inf", (0.0,), (6.0,)),
    ]
    counts = heatmap.single(ordered, [0.0, 10.0])
    assert [row[0] for row in counts] == [2.0, 3.0, 1.0]
    assert counts[0][1] == 1.0
    assert math.isnan(counts[1][1])
    assert math.isnan(counts[2][1])


def test_what_a_legend_tells_leaves_nan_out():
    series = Series("a", (0.0, 10.0, 20.0), (1.0, 3.0, math.nan))
    assert (series.mean, series.largest, series.last) == (2.0, 3.0, 3.0)
    assert math.isnan(Series("b", (0.0,), (math.nan,)).mean)


def test_a_threshold_colours_from_its_value_on():
    thresholds = {"steps": [{"value": None, "color": "green"}, {"value": 0.9, "color": "red"}]}
    assert palette.of_value(0.89, thresholds) == palette.named("green")
    assert palette.of_value(0.9, thresholds) == palette.named("red")


def test_an_override_goes_by_the_whole_legend():
    color = {"id": "color", "value": {"fixedColor": "green"}}
    dashes = {"id": "custom.lineStyle", "value": {"fill": "dash"}}
    overrides = [
        {"matcher": {"id": "byName", "options": "hit"}, "properties": [color]},
        {"matcher": {"id": "byRegexp", "options": "/ aim$/"}, "properties": [dashes]},
    ]
    assert palette.of_series(1, palette.overridden("hit", overrides)) == palette.named("green")
    assert palette.of_series(1, palette.overridden("hits", overrides)) != palette.named("green")
    assert palette.overridden("a aim", overrides) == {"custom.lineStyle": {"fill": "dash"}}
    assert palette.overridden("a aimed", overrides) == {}
