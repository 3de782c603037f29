"""`offbeat alerts`: the same list of a file, a folder, SQLite and PostgreSQL; flat files for others; text that would do harm."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from command import Command, offbeat
from stores import NewStore

import offbeat as package
from offbeat.evaluate.generate_bars import generate_bars

__all__ = ["offbeat"]

openpyxl: Any = import_module("openpyxl")  # it brings no types
ZONE = ZoneInfo("Asia/Kolkata")


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated bars and their alerts as JSON lines."""
    folder = tmp_path_factory.mktemp("bars")
    generate_bars(folder / "bars", symbols=3, days=6, seed=2)
    package.run("bars", folder / "bars", alerts=folder / "alerts.jsonl")
    return folder


def records(bars: Path) -> list[dict[str, Any]]:
    """All alerts, the worst first, by hand."""
    found = [json.loads(line) for line in (bars / "alerts.jsonl").read_text().splitlines()]

    def rank(alert: dict[str, Any]) -> tuple[float, float, float, str, str]:
        scores = [d["score"] for d in alert["detectors"] if d["voted"]]
        return -alert["severity"], -alert["votes"], -sum(scores) / len(scores), alert["time"], alert["alert_id"]

    return sorted(found, key=rank)


def local_day(alert: dict[str, Any]) -> str:
    return datetime.fromisoformat(alert["time"]).astimezone(ZONE).date().isoformat()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.fixture(params=["jsonl", "parquet", "folder", "sqlite", "postgresql", pytest.param("topic", marks=pytest.mark.heavy)])
def source(request: pytest.FixtureRequest, bars: Path, tmp_path: Path) -> str:
    kind = request.param
    if kind == "jsonl":
        return str(bars / "alerts.jsonl")
    to = str(tmp_path / "out.parquet")
    if kind == "sqlite":
        to = f"sqlite:///{tmp_path}/alerts.db"
    if kind == "postgresql":
        server = request.getfixturevalue("postgres")
        request.getfixturevalue("monkeypatch").setenv("PGPASSWORD", "only for tests")
        to = server.database()
    if kind == "topic":
        brokers = request.getfixturevalue("kafka")
        to = brokers.uri(brokers.topic())
    package.run("bars", bars / "bars", alerts=to, state=tmp_path / "state" if kind == "folder" else None)
    return to


@pytest.mark.heavy
def test_every_source_gives_the_list_that_was_worked_out_by_hand(source: str, bars: Path, offbeat: Command) -> None:
    worst = records(bars)
    keys = sorted({alert["key"] for alert in worst})
    days = sorted(map(local_day, worst))
    middle = days[len(days) // 2]

    def ids(*options: object) -> list[str]:
        done = offbeat("alerts", source, *options, "--csv", "-")
        assert done.code == 0, done.err
        return [row["alert_id"] for row in rows(done.out)]

    def wanted(keep: Any) -> list[str]:
        return [alert["alert_id"] for alert in worst if keep(alert)]

    assert ids() == wanted(lambda _: True)
    assert ids("--top", 7) == wanted(lambda _: True)[:7]
    assert ids("--key", keys[0], "--key", keys[1]) == wanted(lambda a: a["key"] in keys[:2])
    assert ids("--level", "critical") == wanted(lambda a: a["level"] == "critical")
    assert ids("--since", middle) == wanted(lambda a: local_day(a) >= middle)
    assert ids("--until", middle) == wanted(lambda a: local_day(a) < middle)
    assert ids("--where", f"severity > 0.7 AND (volume > 1000 OR key = '{keys[2]}')") == wanted(
        lambda a: a["severity"] > 0.7 and (a["row"]["volume"] > 1000 or a["key"] == keys[2])
    )
    each = [a["alert_id"] for day in dict.fromkeys(days) for a in [a for a in worst if local_day(a) == day][:2]]
    assert ids("--top", 2, "--per", "day") == each
    assert ids("--top", 2, "--per", "week", "--key", keys[0], "--where", "votes = 1")[:2] == wanted(
        lambda a: a["key"] == keys[0] and a["votes"] == 1 and datetime.fromisoformat(days[0]).isocalendar().week
        == datetime.fromisoformat(local_day(a)).isocalendar().week
    )[:2]  # fmt: skip
    refusal = offbeat.refused("alerts", source, "--where", "volum > 3")
    assert "'volum'" in refusal
    assert " volume," in refusal
    assert offbeat.refused("alerts", source, "--key", "nobody").startswith("no alerts of key 'nobody'")


def test_a_flat_list_says_what_fired_and_names_the_zone(bars: Path, tmp_path: Path, offbeat: Command) -> None:
    files = {kind: tmp_path / f"list.{kind}" for kind in ("csv", "xlsx", "parquet", "json")}
    done = offbeat("alerts", bars / "alerts.jsonl", "--top", 9, *(part for kind, file in files.items() for part in (f"--{kind}", file)))
    assert done.code == 0, done.err
    wanted = records(bars)[:9]
    text = rows(files["csv"].read_text())
    sheet = list(openpyxl.load_workbook(files["xlsx"])["alerts"].iter_rows(values_only=True))
    names, cells = sheet[0], [dict(zip(sheet[0], row, strict=True)) for row in sheet[1:]]
    table = pl.read_parquet(files["parquet"]).to_dicts()
    objects = json.loads(files["json"].read_text())
    assert list(text[0]) == list(names)
    for alert, line, cell, row, thing in zip(wanted, text, cells, table, objects, strict=True):
        first = max((d for d in alert["detectors"] if d["voted"]), key=lambda d: d["score"])
        at = datetime.fromisoformat(alert["time"]).astimezone(ZONE)
        for found in (line, cell, row, thing):
            assert float(found["severity"]) == alert["severity"]
            assert float(found["observed"]) == first["observed"]
            assert float(found["row.volume"]) == alert["row"]["volume"]
            assert found["detector"] == first["name"]
            assert found["what"].startswith(f"{first['name']} ")
        assert line["time (Asia/Kolkata)"] == at.strftime("%Y-%m-%d %H:%M:%S")
        assert cell["time (Asia/Kolkata)"] == at.replace(tzinfo=None)
        assert row["time"] == at
        assert datetime.fromisoformat(thing["time"]) == at
        assert thing["time"].endswith("+05:30")


def test_the_same_list_from_python(bars: Path, tmp_path: Path) -> None:
    result = package.run("bars", bars / "bars")
    flat = result.alerts_flat
    assert flat["alert_id"].to_list() == [alert["alert_id"] for alert in records(bars)]
    assert flat.schema["time"] == pl.Datetime("ns", "Asia/Kolkata")
    result.write_alerts(tmp_path / "all.csv")
    assert [row["alert_id"] for row in rows((tmp_path / "all.csv").read_text())] == flat["alert_id"].to_list()
    with pytest.raises(package.UserError, match=r"\*\.xlsx"):
        result.write_alerts(tmp_path / "all.doc")


def test_a_list_fits_eighty_columns(bars: Path, offbeat: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for options in ((), ("--top", 2, "--per", "day")):
        done = offbeat("alerts", bars / "alerts.jsonl", *options)
        assert done.code == 0
        assert max(map(len, done.out.splitlines())) <= 80


HOSTILE = [
    "=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1",
    "'; DROP TABLE alerts; --", '" OR ""="', "%s %(x)s :x ?", "\x1b[2J\x1b[31mred", "\x00nul", "a\nb", "\u202egnp.exe",
    "<script>alert(1)</script>",
    "=" + "x" * 1_000_000, "👩‍👩‍👧 \ufeff", "a;=b",
]  # fmt: skip


@pytest.mark.heavy
def test_hostile_text_harms_nothing(new_store: NewStore, tmp_path: Path, offbeat: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pipeline = {
        "name": "hostile",
        "source": {"key": "k", "time": "t", "columns": {"v": "float", "note": {"type": "text", "required": False}}},
        "views": {"v": {"detectors": {"high": {"type": "rule", "when": "v > 1"}}}},
    }
    frame = pl.DataFrame({"k": HOSTILE, "t": ["2024-01-01T00:00:00Z"] * len(HOSTILE), "v": [2.0] * len(HOSTILE), "note": HOSTILE})
    uri = new_store()
    result = package.run(pipeline, frame, alerts=[uri, "a.jsonl"])
    assert len(result.alerts) == len(HOSTILE)
    lists = {}
    for source in (uri, "a.jsonl"):
        done = offbeat("alerts", source, "--csv", "list.csv", "--xlsx", "list.xlsx")
        assert done.code == 0, done.err
        lists[source] = (
            Path("list.csv").read_bytes(),
            [[cell.value for cell in row] for row in openpyxl.load_workbook("list.xlsx")["alerts"].iter_rows()],
        )
    assert lists[uri] == lists["a.jsonl"]
    text, sheet = lists[uri]
    for row in csv.reader(io.StringIO(text.decode("utf-8-sig"), newline="")):
        for cell in row:
            assert not cell.startswith(("=", "+", "@", "\t", "\r", "\uff1d")), cell[:40]
            assert not any(ord(c) < 32 and c not in "\t\n" for c in cell), cell[:40]
            assert "\u202e" not in cell
    assert {type(row[1]) for row in sheet[1:]} <= {float, int}, "numbers stay numbers"
    book = openpyxl.load_workbook("list.xlsx")["alerts"]
    assert {cell.data_type for row in book.iter_rows() for cell in row} <= {"s", "n", "d", "inlineStr"}, "no cell is a formula"
    for key in HOSTILE:
        shown = offbeat("alerts", uri, "--key", key) if "\0" not in key and len(key) < 1_000 else offbeat("alerts", uri)
        assert shown.code == 0, shown.err
        assert "\x1b[2J" not in shown.out
        assert "\u202e" not in shown.out
    assert {alert["key"] for alert in map(json.loads, Path("a.jsonl").read_text().splitlines())} == set(
        pl.concat([package.run(pipeline, frame).alerts.select(pl.col("key").cast(pl.String))])["key"]
    )
