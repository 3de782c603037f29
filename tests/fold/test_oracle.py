"""The oracle against values worked out on paper: what it is trusted with, it has to earn first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from case import plain
from oracle import Oracle, run, window_start
from oracle_detectors import exceedance
from oracle_logic import alert_id, all_of, any_of, compare, div, murmur3_x64_128
from oracle_spec import DAY, SECOND, Column, Pipeline, Row, Rule, Value, Verdict, View
from oracle_windows import Agg, SlidingWindow, Window, quantile
from under_test import BARS

START = 1_600_000_000


@pytest.mark.parametrize(
    ("text", "h1", "h2"),
    [
        ("", 0, 0),
        ("hello", 0xCBD8A7B341BD9B02, 0x5B1E906A48AE1D19),
        ("hello, world", 0x342FAC623A5EBC8E, 0x4CDCBC079642414D),
        ("19 Jan 2038 at 3:14:07 AM", 0xB89E5988B737AFFC, 0x664FC2950231B2CB),
        ("The quick brown fox jumps over the lazy dog.", 0xCD99481F9EE902C9, 0x695DA1A38987B6E7),
    ],
)
def test_murmur3_gives_the_published_values(text: str, h1: int, h2: int) -> None:
    assert murmur3_x64_128(text.encode()) == (h1, h2)


def test_alert_ids_differ_in_every_part() -> None:
    ids = {alert_id(*parts) for parts in [("p", "v", "k", 0, 1), ("q", "v", "k", 0, 1), ("p", "w", "k", 0, 1), ("p", "v", "k", -1, 1)]}
    assert len(ids) == 4
    assert all(len(each) == 32 for each in ids)


def test_three_valued_logic() -> None:
    assert all_of(None, False) is False
    assert all_of(None, True) is None
    assert any_of(None, True) is True
    assert any_of(None, False) is None
    assert compare(None, ">", 1.0) is None
    assert div(1.0, -0.0) is None
    assert div(1e308, 1e-308) is None


def test_quantile_interpolates() -> None:
    assert quantile([4.0, 1.0, 2.0, 3.0], 0.5) == 2.5  # h = 1.5
    assert quantile([10.0, 20.0, 30.0], 0.25) == 15.0  # h = 0.5
    assert quantile([7.0], 0.9) == 7.0
    assert quantile([1.0, 2.0, 3.0], 1.0) == 3.0
    assert quantile([], 0.5) is None


SUMS = {"sum": Agg("sum", lambda env: env["x"]), "n": Agg("count_rows")}


def _window(duration_ns: int = 0, rows: int = 0, *, current: bool = False, min_rows: int | None = None) -> SlidingWindow:
    features = {"sum": lambda a: a["sum"], "n": lambda a: a["n"]}
    return SlidingWindow(Window("w", SUMS, features, duration_ns, rows, current, min_rows))


def test_duration_window_without_the_current_row_is_closed_left_open_right() -> None:
    window = _window(duration_ns=10, min_rows=0)
    seen = [window.step(t, {"x": float(t)})["sum"] for t in (100, 105, 105, 110, 115, 116)]
    # [90,100) [95,105) twice: the other row at 105 is not before; [100,110); [105,115); [106,116)
    assert seen == [None, 100.0, 100.0, 310.0, 320.0, 225.0]


def test_duration_window_with_the_current_row_is_open_left_closed_right() -> None:
    window = _window(duration_ns=10, current=True)
    seen = [window.step(t, {"x": float(t)})["sum"] for t in (100, 105, 105, 110, 115)]
    # (90,100] (95,105] twice: the second time both; (100,110]; (105,115]
    assert seen == [100.0, 205.0, 310.0, 320.0, 225.0]


def test_row_windows() -> None:
    before, including = _window(rows=2), _window(rows=2, current=True)
    assert [before.step(t, {"x": float(t)})["sum"] for t in (1, 2, 3, 4)] == [None, None, 3.0, 5.0]
    assert [including.step(t, {"x": float(t)})["sum"] for t in (1, 2, 3, 4)] == [None, 3.0, 5.0, 7.0]


def test_the_two_stacks_add_in_the_order_of_the_definition() -> None:
    """With 1e16 and ones the order shows: 1e16 + 1 = 1e16 in doubles, 1 + 1 = 2 does not get lost."""
    window = _window(rows=3, current=True, min_rows=1)
    first, *rest = [window.step(t, {"x": x})["sum"] for t, x in enumerate([1e16, 1.0, 1.0, 1.0, 1e16])]
    assert first == 1e16
    # 2 and 3 rows: all in the back, added from the left: (1e16 + 1) + 1 = 1e16.
    # 4th row: back = ((1e16 + 1) + 1) + 1; the evict moves four rows, suffixes from the newest: 1, 2, 3; drops 1e16: 3.
    # 5th row: the front (3 → 2 rows after the evict: 2) ⊕ back 1e16 = 2 + 1e16 = 10000000000000002.
    assert rest == [1e16, 1e16, 3.0, 1e16 + 2]


def test_moments_skip_nulls() -> None:
    aggregates = {"var": Agg("var", lambda env: env["x"]), "mean": Agg("mean", lambda env: env["x"])}
    window = SlidingWindow(Window("w", aggregates, plain(*aggregates), rows=3, current=True, min_rows=1))
    seen = [window.step(t, {"x": x}) for t, x in enumerate([1.0, None, 3.0, None, None, None])]
    assert seen[0] == {"var": None, "mean": 1.0}
    assert seen[2] == {"var": 2.0, "mean": 2.0}
    assert seen[4] == {"var": None, "mean": 3.0}
    assert seen[5] == {"var": None, "mean": None}


def test_a_stuck_price_has_no_deviation_at_all() -> None:
    window = SlidingWindow(Window("w", {"s": Agg("std", lambda env: env["x"])}, {"s": lambda a: a["s"]}, rows=7, current=True, min_rows=2))
    assert {window.step(t, {"x": 0.1})["s"] for t in range(1, 50)} == {None, 0.0}


def _stream(p: Pipeline, *rows: tuple[int, float] | tuple[int, float, int]) -> tuple[Oracle, list[str]]:
    """Rows of one key as (seconds, x[, seq]); the category of each as it stood right after it was fed."""
    oracle, seen = Oracle(p), []
    for number, (seconds, x, *seq) in enumerate(rows):
        oracle.feed(Row("k", (START + seconds) * SECOND, {"x": x, "seq": seq[0] if seq else None}, row=number + 1))
        seen.append(oracle.outcome[number])
    return oracle, seen


def _pipeline(lateness: int = 0, unique: tuple[str, ...] = ("time",), dedup: int = 64, jump: int = 10_000) -> Pipeline:
    always = View("v", (), (Rule("r", lambda env: Verdict(compare(env["x"], ">", 0.0), env["x"], ">", 0.0, None)),))
    columns = (Column("x"), Column("seq", "decimal"))
    return Pipeline(
        "p",
        columns,
        (always,),
        unique=unique,
        order="seq",
        lateness_ns=lateness * SECOND,
        dedup_rows=dedup,
        max_jump_ns=jump * SECOND,
    )


def _final(p: Pipeline, rows: Sequence[tuple[int, float] | tuple[int, float, int]]) -> list[str]:
    oracle, _ = _stream(p, *rows)
    oracle.drain()
    assert oracle.ledger().adds_up()
    return [oracle.outcome[number] for number in range(len(rows))]


def test_late_without_lateness() -> None:
    """The first row waits, the second confirms it; an equal time is on time, an earlier one is late."""
    oracle, seen = _stream(_pipeline(unique=()), (10, 1.0), (11, 1.0), (11, 1.0), (10, 1.0))
    assert seen == ["pending", "scored", "scored", "late"]
    assert oracle.outcome[0] == "scored"
    assert oracle.quarantined == [(0, 4, "late")]


def test_order_decides_between_equal_times() -> None:
    rows = [(10, 1.0, 5), (11, 1.0, 5), (11, 2.0, 4), (11, 3.0, 6)]
    assert _final(_pipeline(unique=()), rows) == ["scored", "scored", "late", "scored"]
    assert _final(_pipeline(unique=(), lateness=1), rows) == ["scored"] * 4


def test_the_buffer_releases_at_the_watermark() -> None:
    # M = 20 after the second row: 10 ≤ 17 goes; 18 stays; 21 lifts the line to 18, which goes; 16 is late;
    # 18 again has the time and order of the last one folded, so it is not below it and is folded at once.
    oracle, seen = _stream(_pipeline(unique=(), lateness=3), (10, 1.0), (20, 1.0), (18, 1.0), (21, 1.0), (16, 1.0), (18, 1.0))
    assert seen == ["pending", "pending", "pending", "pending", "late", "scored"]
    assert [oracle.outcome[i] for i in range(6)] == ["scored", "pending", "scored", "pending", "late", "scored"]
    assert [alert["time_ns"] // SECOND - START for alert in oracle.alerts] == [10, 18, 18]
    oracle.drain()
    assert [alert["time_ns"] // SECOND - START for alert in oracle.alerts] == [10, 18, 18, 20, 21]
    assert oracle.ledger().scored == 5


def test_duplicates_and_conflicts() -> None:
    rows = [(10, 1.0), (10, 1.0), (10, 2.0), (11, 1.0), (11, 1.0), (11, 5.0), (12, 1.0), (13, 1.0), (11, 1.0)]
    expected = ["scored", "duplicate", "quarantined conflict", "scored", "duplicate", "quarantined conflict", "scored", "scored"]
    assert _final(_pipeline(), rows) == [*expected, "duplicate"]
    assert _final(_pipeline(dedup=2), rows) == [*expected, "late"]  # 11 is no longer among the last two accepted


def test_candidates() -> None:
    p = _pipeline(unique=(), jump=100)
    assert _final(p, [(1000, 1.0), (10, 1.0), (11, 1.0)]) == ["quarantined future", "scored", "scored"]
    assert _final(p, [(10, 1.0), (11, 1.0), (900, 1.0), (12, 1.0)]) == ["scored", "scored", "quarantined future", "scored"]
    assert _final(p, [(10, 1.0), (11, 1.0), (900, 1.0), (800, 1.0), (901, 1.0)]) == ["scored", "scored", "scored", "late", "scored"]
    assert _final(p, [(10, 1.0), (11, 1.0), (900, 1.0)]) == ["scored"] * 3  # the end of the input accepts
    # One candidate after the other: 900 is refuted by 500, which waits in its place and is refuted by 12.
    chain = [(10, 1.0), (11, 1.0), (900, 1.0), (500, 1.0), (12, 1.0)]
    assert _final(p, chain) == ["scored", "scored", "quarantined future", "quarantined future", "scored"]


def test_a_duplicate_neither_confirms_nor_refutes() -> None:
    p = _pipeline(jump=100)
    oracle, seen = _stream(p, (1000, 1.0), (1000, 1.0), (1000, 2.0), (10, 1.0))
    assert seen == ["pending", "duplicate", "quarantined conflict", "pending"]
    assert oracle.outcome[0] == "quarantined future"


def test_faults_and_bounds() -> None:
    oracle = Oracle(_pipeline())
    columns = {"x": 1.0, "seq": None}
    oracle.feed(Row(None, None, columns, fault="ragged"))
    oracle.feed(Row("k", 0, {"x": float("inf"), "seq": None}))
    oracle.feed(Row("k", 0, columns))
    assert [oracle.outcome[i] for i in range(3)] == ["quarantined ragged", "quarantined non_finite", "quarantined not_before"]
    assert oracle.keys == {}


def test_exceedance() -> None:
    assert exceedance(Verdict(True, 3.0, ">", 2.0)) == 1.5
    assert exceedance(Verdict(True, 3.0, ">", 0.0)) == 1.0
    assert exceedance(Verdict(True, 3.0, ">", 0.0, floor=0.5)) == 6.0
    assert exceedance(Verdict(True, 3.0, ">", 0.0, floor=9.0)) == 1.0
    assert exceedance(Verdict(True, 300.0, ">", 1.0)) == 300.0
    assert exceedance(Verdict(False, -3.0, ">", 2.0)) == 0.0
    assert exceedance(Verdict(True, 2.0, "<", 3.0)) == 1.5
    assert exceedance(Verdict(True, 0.0, "<=", 3.0)) == math.inf
    assert exceedance(Verdict(True, 0.0, "<=", 3.0, floor=0.5)) == 6.0
    assert exceedance(Verdict(True, -4.0, "<", -3.0, floor=2.0)) == 2.0
    assert exceedance(Verdict(False)) == 0.0
    assert exceedance(Verdict(True)) == 2.0


def test_days_begin_at_local_midnight() -> None:
    midnight = 1_599_935_400 * SECOND  # 2020-09-13 00:00 in Kolkata is 18:30 UTC the day before
    assert window_start(midnight, DAY, "Asia/Kolkata") == midnight
    assert window_start(midnight - 1, DAY, "Asia/Kolkata") == midnight - DAY
    assert window_start(midnight + 61 * SECOND, 60 * SECOND, "Asia/Kolkata") == midnight + 60 * SECOND


def _bars(*bars: tuple[int, float, int]) -> Oracle:
    """Minute bars (minute, close, volume), all prices equal to the close."""
    rows = [
        Row("AART", (START + 60 * minute) * SECOND, {"open": c, "high": c, "low": c, "close": c, "volume": v}, row=i + 1)
        for i, (minute, c, v) in enumerate(bars)
    ]
    return run(BARS.pipeline, rows)


def test_price_jump_of_s25() -> None:
    """100 → 101 is a jump of 1 % (r = 2); after a minute without a bar there is no verdict."""
    oracle = _bars((0, 100.0, 0), (1, 100.5, 0), (2, 101.505, 0), (4, 200.0, 0), (5, 200.0, 0))
    assert [(a["time_ns"] // SECOND - START) // 60 for a in oracle.alerts] == [2]
    (alert,) = oracle.alerts
    jump, surge = alert["detectors"]
    assert jump["voted"]
    assert jump["observed"] == abs(101.505 / 100.5 - 1)
    assert jump["threshold"] == 0.005
    assert jump["expected"] == 0.0
    # The surge needs five bars; it was held against the two of its ten minutes, the jump against that of the minute before.
    assert jump["window"] == {"from": (START + 60) * SECOND, "to": (START + 120) * SECOND, "n": 1}
    silent = dict.fromkeys(("score", "raw", "threshold", "observed", "expected"))
    known = {"name": "volume_surge", "type": "rule", "voted": False, "contributions": [None], "out_of_range": [], "note": "", "version": 0}
    assert surge == known | silent | {"window": {"from": START * SECOND, "to": (START + 120) * SECOND, "n": 2}}
    assert (alert["votes"], alert["voters"]) == (1, 1)
    assert alert["severity"] == 1 - 1 / (abs(101.505 / 100.5 - 1) / 0.005)
    assert alert["level"] == "medium"
    assert alert["window"] == {"from": START * SECOND, "to": (START + 120) * SECOND, "n": 2}
    assert alert["statistics"] == {"previous_close": 100.5, "mean_volume": None, "usual_volume": 0.0}
    ledger = oracle.ledger()
    assert (ledger.scored, ledger.warming_up["history"]) == (3, 2)


def test_volume_surge_of_s25() -> None:
    """Five bars in the window [t-10min, t) are needed; zero volumes count; a mean of 0 fires when volume > 0; exactly 2 % more does not."""
    quiet = [(minute, 100.0, 0) for minute in range(5)]
    assert [a["time_ns"] // SECOND - START for a in _bars(*quiet, (5, 100.0, 1)).alerts] == [300]
    assert _bars(*quiet[:4], (5, 100.0, 1)).alerts == []
    assert _bars(*quiet, (5, 100.0, 0)).alerts == []
    steady = [(minute, 100.0, 50) for minute in range(10)]
    assert _bars(*steady, (10, 100.0, 51)).alerts == []
    (alert,) = _bars(*steady, (10, 100.0, 52)).alerts
    assert alert["detectors"][1]["threshold"] == 1.02 * 50.0
    assert alert["detectors"][1]["expected"] == 50.0
    # The bar ten minutes ago is in the window, the one before it is not.
    (alert,) = _bars((0, 100.0, 1000), *[(m, 100.0, 50) for m in range(1, 11)], (11, 100.0, 52)).alerts
    assert alert["window"]["n"] == 10


def test_row_rules_of_bars() -> None:
    good: dict[str, Value] = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 0}
    bad: list[dict[str, Value]] = [{"open": 0.0}, {"high": 0.5}, {"low": 2.0, "high": 3.0}, {"volume": -1}, {"close": float("nan")}]
    oracle = run(BARS.pipeline, [Row("A", START * SECOND, {**good, **change}) for change in bad])
    assert [reason for _, _, reason in oracle.quarantined] == ["price", "high", "low", "volume", "non_finite"]
