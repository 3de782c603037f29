"""Generated bars: the same bytes for the same seed, valid rows, and every planted anomaly is really there."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from offbeat.evaluate.generate_bars import KINDS, LABELS, generate_bars
from offbeat.evaluate.labels import read_labels
from offbeat.quality.gaps import Gaps

HEADER = "timestamp,open,high,low,close,volume"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_bars(tmp_path_factory.mktemp("bars"), symbols=5, days=6, seed=11)


def bars_of(path: Path) -> pl.DataFrame:
    """The rows that can be read, with the local wall time beside."""
    table = pl.read_csv(path, truncate_ragged_lines=True).drop_nulls("open")
    return table.with_columns(time=pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S%:z", time_unit="ns", time_zone="UTC"))


def planted(folder: Path, kind: str) -> list[dict[str, Any]]:
    rows = pl.read_parquet(folder / "_labels.parquet").filter(pl.col("kind") == kind).to_dicts()
    assert rows
    return rows


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    return {path.name.split("_")[0]: bars_of(path) for path in sorted(folder.glob("*.csv"))}


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    first = digest(generate_bars(tmp_path / "a", symbols=2, days=2, seed=3))
    assert first == digest(generate_bars(tmp_path / "b", symbols=2, days=2, seed=3))
    other = digest(generate_bars(tmp_path / "c", symbols=2, days=2, seed=4))
    assert set(first) == set(other)
    assert not set(first.values()) & set(other.values())


def test_the_bytes_of_a_seed_never_change(tmp_path: Path) -> None:
    made = generate_bars(tmp_path, symbols=1, days=2, seed=1)
    assert digest(made)["AMBAR__EQ__NSE__NSE__MINUTE.csv"].startswith("511bf9b0d2a0")


def test_labels_can_be_read(folder: Path) -> None:
    events = read_labels(folder / "_labels.parquet").events
    assert events.height == pl.read_parquet(folder / "_labels.parquet").height
    assert events.filter(pl.col("kind") == "price_jump").select((pl.col("from") == pl.col("to")).all()).item()


def test_schema_and_validity(folder: Path) -> None:
    assert pl.read_parquet_schema(folder / "_labels.parquet") == LABELS
    assert len(list(folder.glob("*.csv"))) == 5
    for path in folder.glob("*.csv"):
        assert path.name.endswith("__EQ__NSE__NSE__MINUTE.csv")
        assert path.read_text(encoding="utf-8").startswith(HEADER + "\n")
        bars = bars_of(path)
        assert bars.filter(pl.min_horizontal("open", "high", "low", "close") <= 0).is_empty()
        assert bars.filter(pl.col("high") < pl.max_horizontal("open", "close", "low")).is_empty()
        assert bars.filter(pl.col("low") > pl.min_horizontal("open", "close")).is_empty()
        ticks = bars["close"] * 20
        assert ((ticks - ticks.round()).abs() < 1e-6).all()
        local = bars["time"].dt.convert_time_zone("Asia/Kolkata").dt.strftime("%H:%M")
        assert (local.min(), local.max()) == ("09:15", "15:29")
        assert bars["time"].is_sorted()
        assert bars["time"].n_unique() == bars.height


def test_liquid_and_illiquid_stocks(folder: Path) -> None:
    idle = [table.filter(pl.col("volume") == 0).height / table.height for table in tables(folder).values()]
    assert idle[0] == 0
    assert idle[4] > 0.4
    assert idle == sorted(idle)


def test_volume_is_greatest_at_the_ends_of_the_day(folder: Path) -> None:
    hours = tables(folder)["AMBAR"].with_columns(minute=pl.col("time").dt.hour().cast(pl.Int32) * 60 + pl.col("time").dt.minute() - 225)
    mean = hours.group_by(pl.col("minute") // 75).agg(pl.col("volume").median()).sort("minute")["volume"].to_list()
    assert mean[0] > 1.5 * mean[2] < mean[4]


@pytest.mark.parametrize("kind", ["price_jump", "both"])
def test_price_jumps_are_there(folder: Path, kind: str) -> None:
    bars = tables(folder)
    for label in planted(folder, kind):
        table = bars[label["key"]].with_columns(move=(pl.col("close") / pl.col("close").shift(1) - 1).abs())
        assert table.row(by_predicate=pl.col("time") == label["from"], named=True)["move"] > 0.01


@pytest.mark.parametrize("kind", ["volume_surge", "both"])
def test_volume_surges_are_there(folder: Path, kind: str) -> None:
    bars = tables(folder)
    for label in planted(folder, kind):
        table = bars[label["key"]].with_columns(mean=pl.col("volume").shift(1).rolling_mean(10, min_samples=1))
        row = table.row(by_predicate=pl.col("time") == label["from"], named=True)
        assert row["volume"] > 8 * row["mean"]


def between(label: dict[str, datetime]) -> pl.Expr:
    return pl.col("time").is_between(label["from"], label["to"])


def test_stuck_prices_and_missing_minutes_are_there(folder: Path) -> None:
    bars = tables(folder)
    for label in planted(folder, "stuck_price"):
        stuck = bars[label["key"]].filter(between(label))
        assert 20 <= stuck.height <= 50
        assert stuck.select("open", "high", "low", "close").unique().height == 1
        assert (stuck["volume"] > 0).all()
    for label in planted(folder, "missing"):
        assert bars[label["key"]].filter(between(label)).is_empty()


def test_one_line_of_each_file_is_cut(folder: Path) -> None:
    labels = {label["key"]: label["from"] for label in planted(folder, "bad_row")}
    for path in folder.glob("*.csv"):
        short = [line for line in path.read_text(encoding="utf-8").splitlines() if line.count(",") != 5]
        when = labels[path.name.split("_")[0]].astimezone(ZoneInfo("Asia/Kolkata"))
        assert short == [when.isoformat(" ")[:14]]


def test_gaps_of_the_calendar_are_the_planted_ones(folder: Path) -> None:
    labels = pl.read_parquet(folder / "_labels.parquet").filter(pl.col("kind").is_in(["missing", "bad_row"]))
    owed = labels.group_by("key").agg(bars=((pl.col("to") - pl.col("from")).dt.total_minutes() + 1).sum()).sort("key")
    for slot, (key, table) in enumerate(sorted(tables(folder).items())):
        gaps = Gaps(60_000_000_000, "Asia/Kolkata", "XBOM")
        gaps.add(np.zeros(table.height, dtype=np.int32), table["time"].cast(pl.Int64).to_numpy())
        assert gaps.report([key])["bars_missing"].to_list() == [owed["bars"][slot]]


def test_impossible_sizes() -> None:
    with pytest.raises(ValueError, match="two days"):
        generate_bars(Path("unused"), symbols=1, days=1, seed=0)
    with pytest.raises(ValueError, match="only"):
        generate_bars(Path("unused"), symbols=1, days=99_999, seed=0)


def test_kinds_are_all_planted(folder: Path) -> None:
    assert set(pl.read_parquet(folder / "_labels.parquet")["kind"]) == set(KINDS)
