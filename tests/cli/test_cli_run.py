"""`offbeat run`: figures, report, outputs, standard input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command import BARS, DATA, STREAM, Command, adds_up, finished, offbeat, process
from folders import ROOT

from offbeat.evaluate.generate_bars import generate_bars
from offbeat.io.read.alert_files import read_alerts

__all__ = ["offbeat"]
KEYS = [
    "pipeline", "engine", "rows_in", "scored", "warming_up", "late", "duplicate", "pending", "quarantined", "alerts", "seconds",
    "peak_memory_mb", "views",
]  # fmt: skip
ROWS = [json.dumps({"k": "a", "t": f"2024-01-01T00:00:{i:02}Z", "v": 100 if i % 7 == 6 else 1}) + "\n" for i in range(20)]


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_bars(tmp_path_factory.mktemp("bars"), symbols=2, days=5, seed=1)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("pipeline", "source", "rows"),
    [
        ("bars", "bars", 37_179),
        ("bars", "bars_5min", None),
        (ROOT / "examples" / "bars_5min.yaml", "bars_5min", None),
        (ROOT / "examples" / "market_minute.yaml", "bars", 37_179),
        (ROOT / "examples" / "ticks.yaml", "ticks_dirty", 107_428),
    ],
    ids=str,
)
def test_real_files_go_through(offbeat: Command, tmp_path: Path, pipeline: Path, source: str, rows: int | None) -> None:
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data")
    out = tmp_path / "out.jsonl"
    done = offbeat("run", pipeline, DATA / source, "--json", "--alerts", out)
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    figures = json.loads(done.out)
    assert [key for key in figures if key in KEYS] == KEYS
    assert adds_up(figures)
    assert figures["pending"] == 0
    assert rows is None or figures["rows_in"] == rows
    assert len(out.read_text().splitlines()) == figures["alerts"]
    assert figures["alerts"] or (str(pipeline), source) == ("bars", "bars_5min")  # there a bar never has one in the minute before it


@pytest.mark.heavy
@pytest.mark.parametrize("file", sorted(p.name for p in (DATA / "bars_5min").glob("*.csv")) if DATA.is_dir() else [])
def test_every_real_file_by_itself(offbeat: Command, file: str) -> None:
    done = offbeat("run", "bars", DATA / "bars_5min" / file, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert adds_up(figures)
    assert figures["rows_in"] == len((DATA / "bars_5min" / file).read_text().splitlines()) - 1


def test_the_report(offbeat: Command, bars: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = offbeat("run", "bars", bars, "--alerts", out)
    assert done.code == 0
    for part in ("scored", "quarantined", "read", "the 10 worst of", "gaps: 2 of 2 keys", f"offbeat explain worst --alerts {out}"):
        assert part in done.out
    assert f"offbeat quarantine list {out}.quarantine.parquet" in done.out
    assert Path(f"{out}.quarantine.parquet").is_file()


def test_without_outputs_nothing_is_written(offbeat: Command, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = offbeat("run", "bars", bars)
    assert done.code == 0
    assert "--alerts FILE.jsonl keeps them" in done.out
    assert "--quarantine FILE.parquet keeps them" in done.out
    assert list(tmp_path.iterdir()) == []


def test_an_empty_quarantine_is_not_left_behind(offbeat: Command, tmp_path: Path) -> None:
    file = tmp_path / "A_x.csv"
    file.write_text(BARS + "2017-01-02 09:15:00+05:30,1,1,1,1,1\n")
    out = tmp_path / "out.jsonl"
    assert offbeat("run", "bars", file, "--alerts", out).code == 0
    assert not Path(f"{out}.quarantine.parquet").exists()
    asked = tmp_path / "q.parquet"
    assert offbeat("run", "bars", file, "--alerts", out, "--quarantine", asked).code == 0
    assert asked.is_file()
    done = offbeat("quarantine", "list", asked)
    assert (done.code, done.out) == (0, "No quarantined rows.\n")


def test_the_first_alert_of_a_report_is_the_one_explained(offbeat: Command, bars: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    done = offbeat("run", "bars", bars, "--alerts", out)
    first = re.findall(r"worst alert ([0-9a-f]{12})\b", done.out)[0]
    assert f"Alert {first}" in offbeat("explain", "worst", "--alerts", out).out
    assert first == re.findall(r"\b[0-9a-f]{12}\b", offbeat("alerts", out).out)[0]


def test_outputs_hold_the_same(offbeat: Command, bars: Path, tmp_path: Path) -> None:
    names = [tmp_path / "out.jsonl", tmp_path / "out.parquet"]
    assert offbeat("run", "bars", bars, "--alerts", names[0], "--alerts", names[1], "--json").code == 0
    assert read_alerts(names[0]).equals(read_alerts(names[1]))


@pytest.mark.heavy
def test_alerts_as_lines_on_standard_output(bars: Path) -> None:
    done = finished("run", "bars", bars, "--alerts", "-")
    assert done.code == 0
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert {"alert_id", "severity", "detectors"} <= lines[0].keys()
    assert f"({len(lines):,} alerts)" in done.err  # the report makes room for the lines


def test_settings(offbeat: Command, bars: Path) -> None:
    def alerts(*more: str) -> int:
        return int(json.loads(offbeat("run", "bars", bars, "--json", *more).out)["alerts"])

    assert 0 < alerts("--set", "bar.volume_surge.when=volume > 30 * mean_volume", "--set", "bar.price_jump.when=close < 0") < alerts()


def test_a_second_run_has_nothing_new(offbeat: Command, bars: Path, tmp_path: Path) -> None:
    words = ["run", "bars", bars, "--state", tmp_path / "state", "--alerts", tmp_path / "out.jsonl"]
    first = offbeat(*words, "--json")
    text = (tmp_path / "out.jsonl").read_text()
    again = offbeat(*words)
    assert "; 0 rows read now" in again.out
    assert (tmp_path / "out.jsonl").read_text() == text
    assert f"{json.loads(first.out)['rows_in']:,} rows of earlier runs" in again.out


@pytest.mark.heavy
def test_alerts_appear_while_rows_arrive(tmp_path: Path) -> None:
    (tmp_path / "stream.yaml").write_text(STREAM)
    running = process("run", tmp_path / "stream.yaml", "-", stdin=-1)
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write("".join(ROWS[:7]))
    running.stdin.flush()
    assert "high 100 > 2" in running.stdout.readline()  # before the input ends
    running.stdin.write("".join(ROWS[7:]))
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert out.splitlines()[0].startswith("2024-01-01 00:00:13 UTC")
    assert "20 rows" in out


@pytest.mark.heavy
def test_a_flood_of_live_alerts_is_cut_to_the_worst(tmp_path: Path) -> None:
    (tmp_path / "stream.yaml").write_text(STREAM.replace("v > 2 * m", "v > 0"))
    rows = tmp_path / "rows.ndjson"
    rows.write_text("".join(row.replace("T00:00", f"T00:{i // 20:02}") for i, row in enumerate(ROWS * 10)))
    with rows.open() as stdin:
        done = finished("run", tmp_path / "stream.yaml", "-", stdin=stdin)
    assert done.code == 0, done.err
    assert "more in this batch, less severe" in done.out


def test_detectors_that_were_never_trained_are_named(offbeat: Command, tmp_path: Path) -> None:
    head = "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,ts_in_delta,sequence,symbol"
    at = [f"2024-01-02T10:{i // 60:02}:{i % 60:02}Z" for i in range(300)]
    rows = [f"{time},{time},0,1,1,T,A,0,{10 + i % 7},1,0,0,{i},X" for i, time in enumerate(at)]
    (tmp_path / "few.csv").write_text("\n".join([head, *rows, ""]))
    done = offbeat("run", "trades", tmp_path / "few.csv", "--json")
    # The first 99 of 300 rows do not fill the window.
    assert json.loads(done.out)["notes"] == [
        "trade.forest and covariance: never trained, as no key had enough rows without a null (201 at most, 500 are the least)"
    ]
