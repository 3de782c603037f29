"""Bars of any cadence: recognised from the files, kept with a state, and a market that never closes. Right values by SQL or by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from command import BARS, DATA, Command, offbeat

import offbeat as api

__all__ = ["offbeat"]
START = datetime(2024, 1, 2, 4, tzinfo=UTC)
Bar = tuple[datetime, float]


def closes(step: timedelta, count: int = 60, jumps: tuple[int, ...] = (20, 40), start: datetime = START) -> list[Bar]:
    """A close of 100, and of 102 from each second jump on: 2 % up or down at every one."""
    return [(start + n * step, 102.0 if sum(n >= j for j in jumps) % 2 else 100.0) for n in range(count)]


def write(path: Path, bars: list[Bar]) -> Path:
    rows = [{"timestamp": time.isoformat(), **dict.fromkeys(("open", "high", "low", "close"), c), "volume": 5.0} for time, c in bars]
    if path.suffix == ".ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pl.DataFrame(rows).with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC")).write_parquet(path)
    else:
        path.write_text(BARS + "".join(",".join(map(str, row.values())) + "\n" for row in rows))
    return path


def run(offbeat: Command, *args: object) -> dict[str, Any]:
    done = offbeat("run", "bars", *args, "--json")
    assert done.code == 0, done.err
    figures: dict[str, Any] = json.loads(done.out)
    return figures


def jumps(path: Path) -> list[tuple[str, str]]:
    """(key, time) of the alerts that price_jump voted for."""
    alerts = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted((a["key"], a["time"][:16]) for a in alerts if any(d["name"] == "price_jump" and d["voted"] for d in a["detectors"]))


@pytest.mark.heavy
@pytest.mark.parametrize("ending", [".csv", ".parquet", ".ndjson"])
@pytest.mark.parametrize(
    ("step", "said"),
    [
        (timedelta(minutes=5), "5m"),
        (timedelta(minutes=1), ""),
        (timedelta(seconds=10), "10s"),
        (timedelta(minutes=15), "15m"),
        (timedelta(hours=1), "1h"),
        (timedelta(days=1), "1d"),
    ],
)
def test_the_step_of_the_files_is_the_cadence(offbeat: Command, tmp_path: Path, ending: str, step: timedelta, said: str) -> None:
    figures = run(offbeat, write(tmp_path / f"A{ending}", closes(step)), "--alerts", tmp_path / "a.jsonl")
    assert jumps(tmp_path / "a.jsonl") == [("A", f"{START + n * step:%Y-%m-%dT%H:%M}") for n in (20, 40)]
    notes = [note for note in figures["notes"] if "taken as the cadence" in note]
    assert [note.split()[2] for note in notes] == ([said] if said else [])


def test_a_table_in_memory(tmp_path: Path) -> None:
    write(tmp_path / "A.parquet", closes(timedelta(minutes=5)))
    frame = pl.read_parquet(tmp_path / "A.parquet").with_columns(key=pl.lit("A"))
    assert len(api.run("bars", frame).alerts) == 2


def test_a_given_cadence_is_taken(offbeat: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "A.csv", closes(timedelta(minutes=5)))
    figures = run(offbeat, path, "--set", "quality.cadence=1m", "--alerts", tmp_path / "a.jsonl")
    assert jumps(tmp_path / "a.jsonl") == []
    assert not any("taken as the cadence" in note for note in figures["notes"])


def test_gaps_nights_and_jitter_do_not_hide_it(offbeat: Command, tmp_path: Path) -> None:
    """Sessions of an hour with a bar missing in four, stamped up to eleven seconds late: most steps are near five minutes."""
    bars = [
        (time + timedelta(days=day, seconds=(7 * n) % 12), close)
        for day in range(6)
        for n, (time, close) in enumerate(closes(timedelta(minutes=5), 13, ()))
        if n % 4 != 3
    ]
    figures = run(offbeat, write(tmp_path / "A.csv", bars))
    assert any(note.startswith("rows lie 5m apart") for note in figures["notes"])


def test_rows_without_a_cadence_keep_the_minute(offbeat: Command, tmp_path: Path) -> None:
    bars = [(START + timedelta(seconds=n * n * 7), 100.0) for n in range(40)]
    assert not any("apart" in note for note in run(offbeat, write(tmp_path / "A.csv", bars))["notes"])


def test_files_of_two_cadences_are_named(offbeat: Command, tmp_path: Path) -> None:
    for name, minutes in (("A", 5), ("B", 5), ("C", 1)):
        write(tmp_path / f"{name}.csv", closes(timedelta(minutes=minutes)))
    notes = run(offbeat, tmp_path)["notes"]
    assert any(note.startswith("rows lie 5m apart") and "other files have 1m" in note for note in notes)


def test_a_state_keeps_its_cadence(offbeat: Command, tmp_path: Path) -> None:
    """The second file has one bar of five minutes, from which nothing is to be recognised; and another cadence is refused."""
    bars = closes(timedelta(minutes=5))
    source, more = tmp_path / "in", ("--state", tmp_path / "st", "--alerts", tmp_path / "a.jsonl")
    source.mkdir()
    write(source / "A_1.csv", bars[:20])
    run(offbeat, source, *more, "--continues")
    write(source / "A_2.csv", bars[20:])
    (source / "A_1.csv").rename(tmp_path / "gone.csv")
    write(source / "A_1.csv", bars[:20])
    run(offbeat, source / "A_1.csv", source / "A_2.csv", *more)
    assert jumps(tmp_path / "a.jsonl") == [("A", f"{START + timedelta(minutes=5 * n):%Y-%m-%dT%H:%M}") for n in (20, 40)]
    said = offbeat.refused("run", "bars", source, *more, "--set", "quality.cadence=1m")
    assert "quality.cadence" in said


def test_standard_input_has_the_default(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known ahead there: a minute, unless it is given."""
    rows = [json.loads(line) for line in write(tmp_path / "A.ndjson", closes(timedelta(minutes=5))).read_text().splitlines()]
    text = "".join(json.dumps(row | {"symbol": "A"}) + "\n" for row in rows)
    for number, (more, found) in enumerate([((), 0), (("--set", "quality.cadence=5m"), 2)]):
        (tmp_path / "rows").write_text(text)
        with (tmp_path / "rows").open() as piece:
            monkeypatch.setattr("sys.stdin", piece)
            run(offbeat, "-", "--alerts", tmp_path / f"{number}.jsonl", *more)
        assert len(jumps(tmp_path / f"{number}.jsonl")) == found


def test_bars_of_five_minutes_as_sql_has_them(offbeat: Command, tmp_path: Path) -> None:
    folder = DATA / "bars_5min"
    if not folder.exists():
        pytest.skip("shared data is not here")
    files = {"BAJFINANCE.NS": "Datetime", "ADANIPORTS": "timestamp"}
    paths = [next(folder.glob(f"{key}*")) for key in files]
    run(offbeat, *paths, "--alerts", tmp_path / "a.jsonl")
    wanted = []
    for path, (key, time) in zip(paths, files.items(), strict=True):
        query = f"""
            WITH b AS (SELECT "{time}"::TIMESTAMPTZ AS t, close::DOUBLE AS c FROM read_csv('{path}', normalize_names = false)),
            p AS (SELECT t, c, lag(t) OVER (ORDER BY t) AS before, lag(c) OVER (ORDER BY t) AS old FROM b)
            SELECT strftime(t AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M') FROM p
            WHERE before >= t - INTERVAL 5 MINUTE AND abs(c / old - 1) > 0.005
        """  # noqa: S608 (a path and a name of the test's own)
        wanted += [(key, at) for (at,) in duckdb.execute(query).fetchall()]
    assert jumps(tmp_path / "a.jsonl") == sorted(wanted)
    assert len(wanted) > 30


def test_a_market_that_never_closes(tmp_path: Path) -> None:
    """Saturday and the night count: of the days from the first to the last 24 hours each are expected; an hour of them is missing."""
    bars = [bar for n, bar in enumerate(closes(timedelta(minutes=1), 1440, (), datetime(2024, 1, 6, tzinfo=UTC))) if not 180 <= n < 240]
    path = write(tmp_path / "BTC.csv", bars)
    told = {}
    for calendar in ("24/7", "XBOM"):
        made = api.run("bars", path, overrides=[f"quality.calendar={calendar}", "source.time.zone=UTC"]).gaps
        assert made is not None
        told[calendar] = made.row(0, named=True)
    assert (told["24/7"]["bars_seen"], told["24/7"]["bars_missing"]) == (1380, 60)
    assert told["XBOM"]["bars_seen"] == 0


@pytest.mark.parametrize(
    ("set_", "said"),
    [
        ("bar.previous_minute.over=2 cadences", ""),
        ("quality.cadence=never", "quality.cadence"),
        ("bar.previous_minute.over=0 cadences", "neither a duration such as 60s"),
        ("bar.previous_minute.over=1.5 cadences", "neither a duration such as 60s"),
    ],
)
def test_lengths_in_cadences(offbeat: Command, set_: str, said: str) -> None:
    done = offbeat("lint", "bars", "--set", set_)
    assert (done.code, said in done.err) == (2 if said else 0, True), done


def test_a_length_in_cadences_needs_one(offbeat: Command, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "name: p\nsource: {key: k, time: t, columns: {v: float}}\n"
        "views: {v: {windows: {w: {over: 1 cadence, features: {m: last(v)}}}, detectors: {d: {type: rule, when: v > m}}}}\n"
    )
    assert "needs `quality.cadence`" in offbeat.refused("lint", tmp_path / "p.yaml")
