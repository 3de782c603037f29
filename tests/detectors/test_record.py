"""The record detector on few rows, worked out on paper."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command import Command, offbeat
from contract import case_of, stream
from driver import Driver
from harness import Record

__all__ = ["offbeat"]
BIG = 1.7e308


def words(settings: str, values: Sequence[Sequence[float | None]]) -> list[Record]:
    """What the detector says of each row of one key with these x, y."""
    driver = Driver(case_of("record", {"it": f"type: record, {settings}"}))
    driver.feed(stream(len(values), lambda i: [*values[i], 0.0], keys=1))
    driver.drain()
    alerts = sorted(driver.alerts(), key=lambda alert: alert["time_ns"])
    return [d for alert in alerts for d in alert["detectors"] if d["name"] == "it"]


def last_word(settings: str, values: Sequence[float | None]) -> Record:
    return words(settings, [(value, 1.0) for value in values])[-1]


@pytest.mark.parametrize(
    ("values", "distance"),
    [
        # The range is [0, 10], leak 0: what lies in it is no record, what lies beyond counts in widths.
        ([0.0, 10.0, 5.0], 0.0),
        ([0.0, 10.0, 10.0], 0.0),
        ([0.0, 10.0, 12.0], 0.2),
        ([0.0, 10.0, -5.0], -0.5),
        # A record widens the range at once: [0, 20] after the third.
        ([0.0, 10.0, 20.0, 22.0], 0.1),
        # Nothing varied: what is another value is infinitely far, what differs by rounding is not.
        ([3.0, 3.0, 3.0], 0.0),
        ([3.0, 3.0, 3.0 + 1e-12], 0.0),
        ([3.0, 3.0, 4.0], math.inf),
        ([3.0, 3.0, 2.0], -math.inf),
        # Nulls are no values.
        ([0.0, None, 10.0, None, 12.0], 0.2),
        # Differences that leave the doubles.
        ([-BIG, BIG, 0.0], 0.0),
        ([-BIG, 0.0, BIG], 1.0),
    ],
)
def test_distances(values: list[float | None], distance: float) -> None:
    said = last_word("features: [x], warm_up: 2, limit: 0.15, leak: 0", values)
    assert said["contributions"] == [None if math.isinf(distance) else distance]
    r = abs(distance) / 0.15
    assert said["score"] == (1.0 if math.isinf(r) else r / (1 + r))
    assert said["voted"] == (r > 1)


def test_what_an_alert_shows() -> None:
    """[0, 10] of 0, 10, 5: mean 5; 12 lies 0.2 widths above, the limit of 0.15 is reached at 11.5."""
    said = last_word("features: [x], warm_up: 2, limit: 0.15, leak: 0", [0.0, 10.0, 5.0, 12.0])
    assert [said[name] for name in ("observed", "expected", "threshold", "raw")] == [12.0, 5.0, 11.5, None]
    assert said["out_of_range"] == [(0, 12.0, 5.0, 0.0, 10.0)]
    assert said["window"]["n"] == 3
    below = last_word("features: [x], warm_up: 2, limit: 0.15, leak: 0", [0.0, 10.0, 5.0, -2.0])
    assert (below["threshold"], below["contributions"]) == (-1.5, [-0.2])
    still = last_word("features: [x], warm_up: 2", [3.0, 3.0, 4.0])
    assert still["note"] == "x never varied before: it was 3"


def test_the_farthest_feature_decides_and_one_that_is_null_is_left_out() -> None:
    rows = [(0.0, 0.0), (10.0, 1.0), (12.0, 4.0), (None, 4.5), (None, None)]
    found = words("features: [x, y], warm_up: 2, limit: 0.15, leak: 0", rows)
    assert [said["raw"] for said in found] == [None, None, 3.0, 0.125, None]
    assert found[2]["contributions"] == [0.2, 3.0]
    assert found[3]["contributions"] == [None, 0.125]
    assert found[4]["note"] == "no verdict: no feature has had 2 values yet, or all are null"


def test_both_ends_leak_towards_the_mean() -> None:
    """Leak 1/4. After 0: [0, 0], mean 0. After 8: mean 4, [0 + 1, 8 - 1]. After 4: mean 4, [1.75, 6.25]. 7 lies 0.75 beyond 4.5."""
    found = words("features: [x], warm_up: 1, limit: 0.01, leak: 0.25", [(x, 1.0) for x in (0.0, 8.0, 4.0, 7.0)])
    assert found[3]["out_of_range"] == [(0, 7.0, 4.0, 1.75, 6.25)]
    assert found[3]["contributions"] == [0.75 / 4.5]


def test_the_mean_forgets_as_the_range_does() -> None:
    """Leak 1/2: the mean of the last two rows or so: 0, 4, then (4 + 8) / 2."""
    found = words("features: [x], warm_up: 1, limit: 0.01, leak: 0.5", [(x, 1.0) for x in (0.0, 8.0, 8.0, 100.0)])
    assert found[3]["expected"] == 6.0


def test_a_changed_limit_keeps_the_state(tmp_path: Path, offbeat: Command) -> None:
    """The range lives on over a restart, whatever the limit; another leak is another state."""
    spec = tmp_path / "p.yaml"
    spec.write_text(
        "name: p\nsource: {key: k, time: t, columns: {x: float}}\n"
        "views: {v: {detectors: {it: {type: record, features: [x], warm_up: 2, leak: 0}}}}\n"
    )
    first, second, alerts, state = (tmp_path / name for name in ("1.csv", "2.csv", "a.jsonl", "state"))
    first.write_text("k,t,x\n" + "".join(f"a,2024-01-01T00:0{i}:00Z,{x}\n" for i, x in enumerate((0, 10, 5))))
    second.write_text("k,t,x\na,2024-01-01T00:05:00Z,10.4\na,2024-01-01T00:06:00Z,10.9\n")
    common: tuple[Any, ...] = ("--alerts", alerts, "--state", state)
    assert offbeat("run", spec, first, *common).code == 0
    done = offbeat("run", spec, first, second, *common, "--set", "v.it.limit=0.03")
    assert done.code == 0
    assert [alert["row"]["x"] for alert in map(json.loads, alerts.read_text().splitlines())] == [10.4, 10.9]
    refused = offbeat("run", spec, first, second, *common, "--set", "v.it.leak=0.1")
    assert refused.code == 2
