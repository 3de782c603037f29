"""Alerts in words: every number, comparison and unit worked out by hand; hostile text shown harmless."""

from __future__ import annotations

from typing import Any

import pytest
from alert_blocks import PLAN_HASH, as_table, two_bars
from rich.console import Console

from offbeat.core.expression_program import Program
from offbeat.core.plan import Plan, QualityPlan, RulePlan, SourcePlan, TimePlan, ViewPlan
from offbeat.io.report.console import alert_records, alerts_table, live_line, moment, number, safe, summary
from offbeat.io.report.explain import explain_panel, explain_words

NOTHING = Program((), (), (), 0, ())
HOSTILE = "\x1b[31mred\x07[bold]x[/bold]\u202ekcab\n\r<script>alert(1)</script>" + "y" * 100


def plan(plan_hash: str = PLAN_HASH) -> Plan:
    rules = (
        RulePlan("price_jump", ">", 0, 1, 2, 3, "abs(close / previous_close - 1)", "abs(close / previous_close - 1) > 0.005"),
        RulePlan("volume_surge", ">", 0, 1, 2, 3, "volume", "volume > 1.02 * mean_volume"),
    )
    view = ViewPlan("bar", None, ("close", "volume"), (), rules, NOTHING, 1, (("low", 0.0),))
    source = SourcePlan("csv", True, (), ",", ("key",), "", TimePlan(("time",), "auto", "UTC"), "", ())
    quality = QualityPlan((), None, (), 0, 64, 0, None, 0, None, "")
    return Plan("bars", source, quality, (view,), (), plan_hash, "")


def records() -> list[dict[str, Any]]:
    return alert_records(as_table(two_bars()))


def printed(renderable: object, width: int = 120) -> str:
    console = Console(width=width, record=True, color_system=None, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_jump_in_words() -> None:
    assert explain_words(records()[0], plan()).splitlines() == [
        r"X\"\n<&> at 2023-11-14 22:13:20.000000001 UTC: high, severity 0.67 of 1".replace(r"\"", '"'),
        "",
        "Voted: 1 of 1 detector with a verdict; 1 had none (pipeline bars, view bar).",
        "",
        "price_jump voted: abs(close / previous_close - 1) was 0.015, 3.0 times the limit (0.005); expected 0.",
        "    rule: abs(close / previous_close - 1) > 0.005",
        "    score 0.750 (0 to 1; 0.5 is the limit)",
        "    compared with 1 row from 2023-11-14 22:12:20.000000001 UTC to 2023-11-14 22:13:20.000000001 UTC",
        "",
        "volume_surge had no verdict: not enough history yet, or a value that it needs is missing.",
        "",
        "The view's window: 1 row from 2023-11-14 22:12:20.000000001 UTC to 2023-11-14 22:13:20.000000001 UTC; previous_close 100.",
        "The row: close 101.5, volume 7, side A, halted False.",
        "",
        f"Alert ab{'0' * 28}01, plan {PLAN_HASH}, offbeat 0.1.0.",
    ]


def test_a_surge_without_a_plan_and_without_a_window() -> None:
    words = explain_words(records()[1])
    assert "Voted: 1 of 2 detectors with a verdict (" in words
    assert "volume_surge voted: the observed value was 408, 4.0 times the limit (102); expected 100, so it was 4.1 times that." in words
    assert "    judged on this row alone\n" in words
    assert "window" not in words
    assert "rule:" not in words


def test_the_rule_of_another_plan_is_not_shown() -> None:
    assert "rule:" not in explain_words(records()[0], plan("f" * 32))


@pytest.mark.parametrize(
    ("observed", "threshold", "voted", "expected", "words"),
    [
        (105.0, 100.0, True, None, "was 105, 5 % above the limit (100)."),
        (100.1, 100.0, True, None, "was 100.1, 0.1 % above the limit (100)."),
        (50.0, 100.0, True, 80.0, "was 50, 50 % below the lower limit (100); expected 80, so it was 38 % below that."),
        (30.0, 100.0, False, 30.0, "was 30, within the limit (100), 30 % of it; expected 30."),
        (-3.0, -5.0, True, 0.0, "was -3, above the limit (-5); expected 0."),
        (7.0, 0.0, True, None, "was 7, above the limit (0)."),
        (None, None, True, None, "its condition holds."),
        (1_234_567.0, None, True, None, "was 1,234,567."),
    ],
)
def test_every_kind_of_comparison(observed: float | None, threshold: float | None, voted: bool, expected: float | None, words: str) -> None:
    alert = records()[1]
    detector = alert["detectors"][1] | {"observed": observed, "threshold": threshold, "voted": voted, "expected": expected}
    lines = explain_words(alert | {"detectors": [detector]}).splitlines()
    assert next(line for line in lines if line.startswith("volume_surge")).endswith(words)


def test_an_empty_window_says_so() -> None:
    window = {"from": None, "to": "2023-11-14T22:13:20.000000000Z", "n": 0, "statistics": {"usual": 69.5, "other": None}}
    alert = records()[0] | {"window": window}
    alert["detectors"][0] |= {"window": {"from": None, "to": "2023-11-14T22:13:20.000000000Z", "n": 0}}
    words = explain_words(alert)
    assert "No earlier rows in the view's window up to 2023-11-14 22:13:20 UTC; usual 69.5." in words
    assert "    no earlier rows in its window up to 2023-11-14 22:13:20 UTC\n" in words


def test_several_features_share_the_blame() -> None:
    alert = records()[1]
    parts = [
        {"feature": "volume", "value": 0.6},
        {"feature": "spread", "value": -0.2},
        {"feature": "calm", "value": 0.0},
        {"feature": "x", "value": None},
    ]
    words = explain_words(alert | {"detectors": [alert["detectors"][1] | {"type": "zscore", "contributions": parts}]})
    assert "because of volume (75 %), spread (25 %)" in words, "0.2 below the center is as odd as above it"


def test_a_feature_that_speaks_for_the_row_is_no_reason_of_a_model() -> None:
    """Shares of 5.0, the sum of their sizes; what would show as 0 % is not named."""
    parts = [{"feature": f, "value": v} for f, v in (("volume", 3.9), ("spread", -1.0), ("calm", 0.08), ("tiny", -0.02))]
    alert = records()[1]
    words = explain_words(alert | {"detectors": [alert["detectors"][1] | {"type": "half_space_trees", "contributions": parts}]})
    assert "    because of volume (78 %), calm (2 %)\n    offset by spread (20 %)\n" in words
    assert "tiny" not in words


def test_an_alert_that_may_change_says_so() -> None:
    assert "Status provisional, revision 3: it may still change" in explain_words(
        records()[0] | {"status": "provisional", "revision": 3}
    )


def test_hostile_text_is_harmless_everywhere() -> None:
    alert = records()[0]
    alert |= {"key": HOSTILE, "view": HOSTILE, "pipeline": HOSTILE, "level": HOSTILE, "row": {HOSTILE: HOSTILE}}
    alert["detectors"][0] |= {"name": HOSTILE, "contributions": [{"feature": HOSTILE, "value": 1.0}]}
    alert["window"]["statistics"] = {HOSTILE: 1.0}
    for text in (
        explain_words(alert),
        printed(explain_panel(alert)),
        printed(alerts_table([alert, records()[1]])),
        printed(live_line(alert)),
    ):
        assert not [c for c in text if c in "\x1b\x07\u202e\r"]
        assert "[bold]" in text or "…" in text, "markup is text"
    assert r"\x1b[31mred\x07" in explain_words(alert)


def far(raw: float, *, voted: bool) -> dict[str, Any]:
    """An alert of a z-score of two values, n and mb, both outside what is usual where it voted."""
    outside = [
        {"feature": "mb", "observed": 50.0, "expected": 10.0, "low": -20.0, "high": 40.0},
        {"feature": "n", "observed": -35_071.2, "expected": 42.8, "low": -145.3, "high": 230.9},
    ]
    parts = [{"feature": "mb", "value": 4.0}, {"feature": "n", "value": -560.0}]
    said = {"name": "far", "type": "zscore", "score": 0.9, "raw": raw, "threshold": 1.0, "voted": voted, "observed": None, "expected": None}
    said |= {"model_version": None, "window": None, "note": None}
    return records()[0] | {"detectors": [said | {"contributions": parts, "out_of_range": outside if voted else []}]}


def test_the_oddest_feature_is_named() -> None:
    """Of n, 35,114 below what is expected, 188.1 would be usual; of mb, 40 above, 30."""
    alert = far(186.7, voted=True)
    assert summary(alert) == "far n -35,071 (usual -145 to 231)"
    mb, n = alert["detectors"][0]["out_of_range"]
    lost = [mb, n | {"observed": None}]  # it was infinite
    assert summary(alert | {"detectors": [alert["detectors"][0] | {"out_of_range": lost}]}) == "far mb 50 (usual -20 to 40)"
    words = explain_words(alert)
    assert words.index("n was -35,071.2; usually 42.8, between -145.3 and 230.9") < words.index("mb was 50; usually 10, between -20 and 40")


def test_a_distance_in_units_of_its_limit() -> None:
    assert "far voted: the greatest distance was 186.7 times its limit.\n" in explain_words(far(186.7, voted=True))
    assert "far voted: the greatest distance was 20 % above its limit.\n" in explain_words(far(1.2, voted=True))
    assert "far did not vote: the greatest distance was 40 % of its limit.\n" in explain_words(far(0.4, voted=False))
    model = far(186.7, voted=True)
    model["detectors"][0] |= {"type": "robust_covariance"}
    assert "far voted: the raw score was 186.7, 186.7 times the limit (1).\n" in explain_words(model)
    assert summary(far(0.4, voted=False)) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (float("nan"), "-"),
        (0.1 + 0.2, "0.3"), (1234.5678, "1,234.57"), (5, "5"), (-1e6, "-1,000,000"), (12345678.9, "12,345,678.90"),
        (1e-9, "1e-09"), (1e300, "1e+300"), (0, "0"), (True, "True"), ("a\nb", r"a\nb"),
    ],
)  # fmt: skip
def test_numbers_for_people(value: object, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.00785569, "0.00786"), (2.652, "2.65"), (1234.5, "1,234"), (98765.43, "98,765"), (932.0, "932")]
)
def test_numbers_where_space_is_short(value: float, text: str) -> None:
    assert number(value, 3) == text


def test_times_for_people() -> None:
    assert moment("2024-03-05T09:31:00.000000000Z") == "2024-03-05 09:31:00 UTC"
    assert moment("2024-03-05T09:31:00.120000000Z", "Asia/Kolkata") == "2024-03-05 15:01:00.12 IST"
    assert moment(None) == "-"
    assert moment("no time\x1b") == r"no time\x1b"


def test_safe_text_is_short_and_of_one_line() -> None:
    assert safe("é ü 漢字 🙂") == "é ü 漢字 🙂"
    assert safe("a\u2028b\ud800") == r"a\u2028b\ud800"
    assert safe("z" * 1000) == "z" * 59 + "…"
    assert summary(records()[0]) == "price_jump 0.015 > 0.005"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("length", [8, 40, 200])
def test_the_panel_cuts_no_key(width: int, length: int) -> None:
    key = "".join(chr(ord("a") + i % 26) for i in range(length))
    shown = printed(explain_panel(records()[0] | {"key": key}), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    words = "".join(line.strip("│╭╮ ─") for line in shown.splitlines())
    assert key in words
    assert "severity0.67of1" in words.replace(" ", "")
