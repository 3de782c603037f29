"""The report at the end of a run."""

from __future__ import annotations

from collections import Counter

import polars as pl
from alert_blocks import as_table, two_bars
from rich.console import Console, RenderableType

from offbeat.core.ledger import Ledger, ViewCounts
from offbeat.io.report.console import alert_records
from offbeat.io.report.run_report import gaps_table, quarantine_tables, ranked, run_report, worst_table


def printed(renderable: RenderableType, width: int = 150) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_the_ledger_is_shown_whole() -> None:
    ledger = Ledger(rows_in=10_000, scored=9_000, warming_up=500, late=0, duplicate=3)
    ledger.quarantined.update({"price": 2, "ty\x1b[31mpe": 495})
    text = printed(run_report(ledger.as_dict() | {"alerts": 7}, alert_records(as_table(two_bars())), remarks=["one file was \x07left out"]))
    squeezed = " ".join(text.replace("│", " ").split())
    for part in (
        "scored 9,000 90.0 %",
        "warming up 500 5.0 %",
        "duplicate 3 < 0.1 %",
        "quarantined 495",
        "read 10,000 100 %",
        "the 2 worst of 7 alerts",
    ):
        assert part in squeezed
    assert "late" not in squeezed.split("read")[0]
    assert squeezed.index(r"ty\x1b[31mpe") < squeezed.index("reason: price")
    assert r"• one file was \x07left out" in text
    assert "\x1b" not in text


def test_a_long_key_is_shown_whole_at_any_width() -> None:
    key = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
    alerts = [alert | {"key": key} for alert in alert_records(as_table(two_bars()))]
    for width in (80, 100, 120, 150, 200):
        text = printed(worst_table(alerts, 2), width)
        assert text.count(key) == 2
        assert max(map(len, text.splitlines())) <= width
        for alert in alerts:
            assert alert["alert_id"][:12] in text
        assert "price_jump 0.015 > 0.005" in " ".join(text.split())


def test_an_empty_run() -> None:
    assert "No alerts." in printed(run_report(Ledger().as_dict(), []))
    one = printed(worst_table(alert_records(as_table(two_bars()))[:1], 1))
    assert one.splitlines()[0].strip() == "1 alert"


def test_values_that_were_left_out_are_counted() -> None:
    ledger = Ledger(views={"day": ViewCounts(no_spread=Counter({"z.mb": 1_200, "a.n": 3})), "hour": ViewCounts()})
    text = printed(run_report(ledger.as_dict(), [], remarks=["first"]))
    first, values = (line for line in text.splitlines() if line.startswith("•"))
    assert first == "• first"
    assert values.startswith("• day: ")
    assert values.endswith(": a.n (3), z.mb (1,200)")


def test_the_worst_come_first() -> None:
    def alert(name: str, severity: float | None, votes: int, score: float, *, time: int, status: str = "final") -> dict[str, object]:
        detectors = [{"voted": True, "score": score}, {"voted": False, "score": 0.99}]
        return {"alert_id": name, "severity": severity, "votes": votes, "detectors": detectors, "time": time, "status": status}

    frame = pl.DataFrame(
        [
            alert("none", None, 3, 0.9, time=0),
            alert("late", 0.9, 2, 0.7, time=9),
            alert("early", 0.9, 2, 0.7, time=1),
            alert("score", 0.9, 2, 0.8, time=5),
            alert("votes", 0.9, 3, 0.1, time=5),
            alert("mild", 0.2, 3, 1.0, time=5),
            alert("gone", 1.0, 3, 1.0, time=5, status="retracted"),
        ]
    )
    assert ranked(frame)["alert_id"].to_list() == ["votes", "score", "early", "late", "mild", "none"]
    assert ranked(frame, 2).height == 2


def test_gaps_and_quarantine() -> None:
    gaps = pl.DataFrame(
        {
            "key": ["A", "B\x1b"], "first_day": [None, None], "last_day": [None, None], "sessions_seen": [5, 5], "sessions_missing": [0, 1],
            "bars_seen": [100, 90], "bars_missing": [0, 10],
        },
        schema_overrides={"first_day": pl.Date, "last_day": pl.Date},
    )  # fmt: skip
    assert "1 of 2 keys" in printed(gaps_table(gaps))
    assert r"B\x1b" in printed(gaps_table(gaps))
    assert "No gaps in 1 key." in printed(gaps_table(gaps.head(1)))
    counts = pl.DataFrame({"reason": ["price"], "rows": [1234], "files": [1]})
    rows = pl.DataFrame({"reason": ["price"], "file": ["a.csv"], "row": [5], "raw": ["x\x1b[2J,-1"], "detail": ["close 'x'"]})
    text = printed(quarantine_tables(counts, rows))
    assert "1,234" in text
    assert r"x\x1b[2J,-1" in text
