"""`offbeat report`: one small file that needs nothing else, with the right figures, and no way in for hostile text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command import DATA, Command, offbeat
from hostile_texts import HOSTILE

from offbeat.evaluate.generate_bars import generate_bars

__all__ = ["offbeat"]


@pytest.fixture
def ran(offbeat: Command, tmp_path: Path) -> Path:
    generate_bars(tmp_path / "bars", symbols=3, days=5, seed=1)
    done = offbeat("run", "bars", tmp_path / "bars", "--alerts", tmp_path / "a.jsonl", "--json")
    (tmp_path / "run.json").write_text(done.out)
    return tmp_path


def test_the_report_of_a_run(offbeat: Command, ran: Path) -> None:
    out = ran / "r.html"
    done = offbeat("report", ran / "a.jsonl", "-o", out, "--ledger", ran / "run.json")
    assert (done.code, done.out) == (0, f"report: {out}\n")
    page = out.read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img|iframe|object)|https?://(?!www\.w3\.org)", page), "nothing from elsewhere"
    assert out.stat().st_size < 1_500_000
    alerts = [json.loads(line) for line in (ran / "a.jsonl").read_text().splitlines()]
    listed = [json.loads(line) for line in offbeat("episodes", ran / "a.jsonl", "--json").out.splitlines()]
    assert f"<b><bdi>{len(alerts):,}</bdi></b><span><bdi>alerts</bdi></span>" in page
    critical = sum(alert["level"] == "critical" for alert in alerts)
    assert f"<b><bdi>{critical:,}</bdi></b><span><bdi>critical</bdi></span>" in page
    assert re.findall(r"alert ([0-9a-f]{32})", page) == [episode["worst"] for episode in listed[:10]], "the worst of the worst episodes"
    assert page.count('<svg class="plot"') >= 10
    ledger = json.loads((ran / "run.json").read_text())
    assert f"<td class=num><bdi>{ledger['scored']:,}</bdi></td>" in page
    assert f"<td class=num><bdi>{ledger['rows_in']:,}</bdi></td>" in page


def test_a_day_is_one_of_the_pipelines_zone(offbeat: Command, ran: Path) -> None:
    alerts = [json.loads(line) for line in (ran / "a.jsonl").read_text().splitlines()]
    days = sorted({alert["time"][:10] for alert in alerts})  # sessions of the NSE lie within a day of UTC, too
    offbeat("report", ran / "a.jsonl", "-o", ran / "r.html", "--day", days[1])
    page = (ran / "r.html").read_text(encoding="utf-8")
    n = sum(alert["time"].startswith(days[1]) for alert in alerts)
    assert f"<b><bdi>{n:,}</bdi></b><span><bdi>alerts</bdi></span>" in page
    assert days[1] in page
    assert f"{days[0]} " not in re.sub(r'<svg class="plot".*?</svg>', "", page, flags=re.S)
    assert offbeat("report", ran / "a.jsonl", "-o", ran / "none.html", "--day", "1999-01-01").code == 0
    assert "No alerts." in (ran / "none.html").read_text()


@pytest.mark.heavy
@pytest.mark.parametrize("form", ["a.parquet", "parts.parquet", "store"])
def test_the_same_from_everywhere(offbeat: Command, ran: Path, form: str) -> None:
    uri = f"sqlite:///{ran}/a.db" if form == "store" else str(ran / form)
    more = ["--state", ran / "state"] if form == "parts.parquet" else []
    assert offbeat("run", "bars", ran / "bars", "--alerts", uri, *more).code == 0
    for name, source in (("one.html", ran / "a.jsonl"), ("two.html", uri)):
        assert offbeat("report", source, "-o", ran / name, "--top", 3).code == 0
    one, two = ((ran / name).read_text(encoding="utf-8") for name in ("one.html", "two.html"))

    def alike(page: str) -> str:
        own = r'<div class="drawing"><svg.*?</svg></div>|<p>The rows around it.*?</p>|<title>.*?</title>|<h1>.*?</h1>'
        return re.sub(own, "", page, flags=re.S)

    assert alike(one) == alike(two)


def test_hostile_text_is_inert(offbeat: Command, ran: Path) -> None:
    lines = (ran / "a.jsonl").read_bytes().splitlines()[: len(HOSTILE)]
    with (ran / "bad.jsonl").open("wb") as file:
        for line, text in zip(lines, HOSTILE.values(), strict=True):
            found = json.loads(line)
            found["detectors"][0] |= {"name": text, "voted": True}
            file.write(json.dumps(found | {"key": text, "pipeline": "other", "level": "critical"}).encode() + b"\n")
    assert offbeat("report", ran / "bad.jsonl", "-o", ran / "bad.html").code == 0
    page = (ran / "bad.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|img|iframe)|\x1b|\u202e", page)
    assert "&lt;img src=x" in page
    assert len(page) < 1_500_000


def test_refusals(offbeat: Command, ran: Path) -> None:
    alerts = ran / "a.jsonl"
    assert "--day yesterday: expected a date" in offbeat.refused("report", alerts, "-o", ran / "r.html", "--day", "yesterday")
    assert "a report is a file FILE.html" in offbeat.refused("report", alerts, "-o", ran / "r.pdf")
    assert "it does not exist" in offbeat.refused("report", ran / "none.jsonl", "-o", ran / "r.html")
    (ran / "bad.json").write_text('{"alerts": 1}')
    assert "it has no rows_in" in offbeat.refused("report", alerts, "-o", ran / "r.html", "--ledger", ran / "bad.json")
    assert not (ran / "r.html").exists()


@pytest.mark.heavy
def test_real_trades_stay_small(offbeat: Command, tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip("no real trades here")
    source = next((DATA / "trades").glob("IBM*"))
    assert offbeat("run", "trades", source, "--alerts", tmp_path / "a.jsonl").code == 0
    assert offbeat("report", tmp_path / "a.jsonl", "-o", tmp_path / "r.html", "--top", 50).code == 0
    assert 50_000 < (tmp_path / "r.html").stat().st_size < 1_500_000
