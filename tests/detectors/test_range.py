"""Range detectors on few rows, worked out on paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from contract import case_of, stream
from driver import Driver
from harness import Record

from offbeat.errors import UserError


def last_word(settings: str, values: Sequence[float | None], features: dict[str, str] | None = None) -> Record:
    """What the detector says of the last of some rows of one key with these x."""
    driver = Driver(case_of("range", {"it": settings}, features))
    driver.feed(stream(len(values), lambda i: [values[i], 1.0, 0.0], keys=1))
    driver.drain()
    alert = max(driver.alerts(), key=lambda alert: alert["time_ns"])
    (found,) = (d for d in alert["detectors"] if d["name"] == "it")
    return dict(found)


def shown(said: Record, *names: str) -> list[Any]:
    return [said[name] for name in names]


def test_zscore() -> None:
    """2, 4, 6: mean 4, sd 2. 11 lies 3.5 sd above, limit 2: r = 1.75, score 1.75/2.75."""
    said = last_word("type: zscore, over: 3 rows, limits: {x: 2}", [2.0, 4.0, 6.0, 11.0])
    assert shown(said, "voted", "score", "observed", "expected", "threshold") == [True, 1.75 / 2.75, 11.0, 4.0, 8.0]
    assert said["contributions"] == [3.5]
    assert said["out_of_range"] == [(0, 11.0, 4.0, 0.0, 8.0)]


def test_zscore_at_the_limit_and_on_either_side() -> None:
    """8 lies exactly 2 sd above: score 0.5, no vote. -1 lies 2.5 sd below: its contribution is negative."""
    at = last_word("type: zscore, over: 3 rows, limits: {x: 2}", [2.0, 4.0, 6.0, 8.0])
    assert shown(at, "voted", "score", "out_of_range") == [False, 0.5, []]
    below = last_word("type: zscore, over: 3 rows, limits: {x: 2}", [2.0, 4.0, 6.0, -1.0])
    assert shown(below, "voted", "threshold", "contributions") == [True, 0.0, [-2.5]]


def test_the_farthest_of_several_values_decides() -> None:
    """Of 4 sd x reaches 3.5; y is what it always was, 0 away from its mean; r is the raw score."""
    said = last_word("type: zscore, over: 3 rows, limits: {y: 1, x: 4}", [2.0, 4.0, 6.0, 11.0])
    assert shown(said, "score", "voted", "raw", "threshold", "observed", "expected") == [0.875 / 1.875, False, 0.875, 1.0, None, None]
    assert said["contributions"] == [0.0, 3.5]


def test_robust_zscore() -> None:
    """1, 2, 3, 4, 1000: median 3, distances 2, 1, 0, 1, 997: MAD 1. 9 lies 6 MAD away, 6 / 1.4826 robust sd."""
    said = last_word("type: zscore, over: 5 rows, robust: true, limits: {x: 4}", [1.0, 2.0, 3.0, 4.0, 1000.0, 9.0])
    assert said["contributions"][0] == pytest.approx(6 / 1.482602218505602, rel=1e-15)
    assert said["voted"]
    assert not last_word("type: zscore, over: 5 rows, limits: {x: 4}", [1.0, 2.0, 3.0, 4.0, 1000.0, 9.0])["voted"]


def test_baseline() -> None:
    """Held against columns of the user's own: mean 1 (y), sd 0.5 from an expression; a sd of z (0) makes 3 infinitely far out."""
    assert last_word("type: zscore, limits: {x: 2}, baseline: {x: {mean: y, std: y / 2}}", [3.0])["contributions"] == [4.0]
    out = last_word("type: zscore, limits: {x: 2}, baseline: {x: {mean: y, std: z}}", [3.0])
    assert shown(out, "score", "voted", "threshold", "contributions") == [1.0, True, 1.0, [None]]
    assert last_word("type: zscore, limits: {x: 2}, baseline: {x: {mean: y, std: z}}", [1.0])["score"] == 0.0
    assert last_word("type: zscore, limits: {x: 2}, baseline: {x: {mean: y, std: z - 1}}", [3.0])["score"] is None


def test_band() -> None:
    """Like the z-score of one value: 4 ± 1.5 · 2."""
    said = last_word("type: band, value: x, width: 1.5, over: 3 rows", [2.0, 4.0, 6.0, 0.5])
    assert shown(said, "voted", "threshold", "expected") == [True, 1.0, 4.0]
    assert said["out_of_range"] == [(0, 0.5, 4.0, 1.0, 7.0)]
    assert said["contributions"] == [-1.75]


def test_quantile() -> None:
    """0, 1, 2, 3, 10 with 0.25 and 0.75: 1 and 3 around 2. Twice the way up ends at 4: 5 has r = 3/2; 1 has 1/2 on its side."""
    settings = "type: quantile, value: x, low: 0.25, high: 0.75, factor: 2, over: 5 rows"
    up = last_word(settings, [0.0, 1.0, 2.0, 3.0, 10.0, 5.0])
    assert shown(up, "voted", "threshold", "expected", "contributions") == [True, 4.0, 2.0, [3.0]]
    assert up["score"] == 1.5 / 2.5
    down = last_word(settings, [0.0, 1.0, 2.0, 3.0, 10.0, 1.0])
    assert shown(down, "voted", "score", "threshold") == [False, 0.5 / 1.5, 0.0]


@pytest.mark.parametrize(
    "values",
    [
        [2.0, 4.0],  # one value before it, two are needed
        [2.0, None, 4.0],
        [2.0, 4.0, 6.0, None],
        [4.0, None, None, 5.0],  # one value is no spread
    ],
)
def test_no_verdict_shows_nothing(values: list[float | None]) -> None:
    said = last_word("type: band, value: x, over: 3 rows, min_values: 2", values)
    assert shown(said, "score", "voted", "threshold", "observed", "expected", "out_of_range") == [None, False, None, None, None, []]
    assert said["contributions"] == [None]


def test_a_window_of_time_needs_thirty_values_where_nothing_is_said() -> None:
    values: list[float | None] = [float(i % 2) for i in range(31)]
    assert last_word("type: band, value: x, over: 1h", values[:30])["score"] is None
    assert last_word("type: band, value: x, over: 1h", values)["score"] is not None


def test_the_window_may_look_at_features() -> None:
    """Means of the last rows (`rows_m`): 2, 3, 4, 5.75 (2, 4, 6 and 11); before the last row mean 3, sd 1."""
    said = last_word("type: zscore, over: 3 rows, limits: {rows_m: 2}", [2.0, 4.0, 6.0, 11.0], {"m": "mean(x)"})
    assert said["contributions"] == [2.75]


def test_beyond_the_doubles() -> None:
    """An overflow is a score of 1 and a vote; what cannot be written as a number is null."""
    said = last_word("type: band, value: x, width: 1, over: 3 rows", [0.0, 1e-10, 0.0, 1.7e308])
    assert shown(said, "score", "voted", "contributions") == [1.0, True, [None]]
    assert math.isfinite(said["observed"])


STILL = [
    "type: zscore, over: 6 rows, limits: {x: 3}",
    "type: zscore, over: 6 rows, robust: true, limits: {x: 3}",
    "type: band, value: x, over: 6 rows",
    "type: quantile, value: x, over: 6 rows",
]


@pytest.mark.parametrize("settings", STILL)
@pytest.mark.parametrize(("value", "voted"), [(5.0, False), (5.0000000001, False), (5.001, True), (4.0, True), (-5.0, True)])
def test_a_constant_that_changes(settings: str, value: float, voted: bool) -> None:
    """Without any spread what is usual is no distance away, and anything else infinitely far: score 1, as at a threshold of 0."""
    said = last_word(settings, [5.0] * 6 + [value])
    assert shown(said, "voted", "score") == [voted, 1.0 if voted else 0.0]
    assert said["contributions"] == [None if voted else 0.0]
    assert shown(said, "observed", "expected", "threshold") == [value, 5.0, 5.0]
    assert said["out_of_range"] == ([(0, value, 5.0, 5.0, 5.0)] if voted else [])
    assert said["note"] == ("x never varied before: usual is 5 exactly" if voted else "")


@pytest.mark.parametrize("settings", STILL)
def test_a_constant_needs_its_least_number_of_values(settings: str) -> None:
    assert last_word(settings, [5.0, 5.0, 6.0])["score"] is None
    assert last_word(settings, [5.0, 5.0, 5.0, 6.0])["score"] == 1.0


@pytest.mark.parametrize("settings", STILL)
@pytest.mark.parametrize(("floor", "r"), [("0.5", 2 / 1.5), ("10%", 2 / 1.5), ("2", 2 / 6.0)])
def test_a_floor(settings: str, floor: str, r: float) -> None:
    """7 beside six 5: 2 away, with a spread of at least 0.5, a tenth of 5, or 2; limit, width and factor 3."""
    three = settings.replace("type: band,", "type: band, width: 3,").replace("type: quantile,", "type: quantile, factor: 3,")
    said = last_word(f"{three}, floor: {floor}", [5.0] * 6 + [7.0])
    assert shown(said, "score", "voted") == pytest.approx([r / (1 + r), r > 1], rel=1e-15)


def test_a_floor_widens_only_what_is_narrower() -> None:
    """2, 4, 6 have a sd of 2: a floor of 1 changes nothing, one of 4 halves the distance. Fewer values than needed: still no verdict."""
    one, four = (f"type: zscore, over: 3 rows, limits: {{x: 1}}, floor: {floor}" for floor in (1, 4))
    assert [last_word(s, [2.0, 4.0, 6.0, 11.0])["contributions"] for s in (one, four)] == [[3.5], [1.75]]
    assert last_word(four.replace("over", "min_values: 3, over"), [2.0, 4.0, 11.0])["score"] is None


def test_floors_by_value() -> None:
    """Y stays at 1, with a floor of its own; x takes the other."""
    said = last_word("type: zscore, over: 3 rows, limits: {x: 1, y: 1}, floor: 4, floors: {y: 0.5}", [2.0, 4.0, 6.0, 11.0])
    assert said["contributions"] == [1.75, 0.0]


@pytest.mark.parametrize("floor", ["0", "-1", "0%", "1 percent", "-2%", "nan%"])
def test_what_is_no_floor(floor: str) -> None:
    with pytest.raises(UserError, match="floor"):
        last_word(f"type: band, value: x, floor: {floor}", [1.0])


@pytest.mark.parametrize(("value", "score"), [(5.0, 0.0), (6.0, None), (8.0, None), (8.5, 1.0), (4.0, 1.0)])
def test_a_robust_zscore_of_values_that_are_mostly_equal(value: float, score: float | None) -> None:
    """Four times 5, then 6 and 8: the MAD is 0, though they vary. Only what lies beyond all of them is infinitely far out."""
    said = last_word("type: zscore, over: 6 rows, robust: true, limits: {x: 3}", [5.0, 5.0, 6.0, 5.0, 8.0, 5.0, value])
    assert said["score"] == score
