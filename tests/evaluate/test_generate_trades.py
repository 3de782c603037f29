"""Generated trades: the same bytes for the same seed, like a market in shape, and every planted anomaly is really there."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command import Command, offbeat

from offbeat.core.batch import Bools
from offbeat.evaluate.generate_trades import LABELS, TRADES, generate_trades
from offbeat.evaluate.trade_process import KINDS

__all__ = ["offbeat"]

HEADER = "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,ts_in_delta,sequence,symbol"
ROWS, SYMBOLS = 240_000, 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades and labels; four symbols share the trades as 10^0 : 10^-1/4 : …, so the smallest has about 25,000."""
    folder = tmp_path_factory.mktemp("trades")
    figures = generate_trades(folder / "t.parquet", folder / "l.parquet", rows=ROWS, symbols=SYMBOLS, seed=11)
    trades, labels = pl.read_parquet(folder / "t.parquet"), pl.read_parquet(folder / "l.parquet")
    assert (trades.schema, labels.schema) == (TRADES, LABELS)
    assert (figures.rows, figures.anomalies) == (trades.height, labels.height) == (ROWS, labels.height)
    assert figures.days == trades["ts_event"].dt.date().n_unique() >= 3
    return trades, labels


@pytest.fixture(scope="module")
def planted(made: tuple[pl.DataFrame, pl.DataFrame]) -> dict[str, list[tuple[pl.DataFrame, pl.DataFrame]]]:
    """By kind: for each anomaly its trades, and the 100 trades of the symbol before them."""
    trades, labels = made
    of = {str(key[0]): part for key, part in trades.group_by("symbol")}
    found: dict[str, list[tuple[pl.DataFrame, pl.DataFrame]]] = {kind: [] for kind in KINDS}
    for label in labels.iter_rows(named=True):
        sequence = of[label["key"]]["sequence"]
        first, last = sequence.search_sorted(label["first_sequence"]), sequence.search_sorted(label["last_sequence"])
        found[label["kind"]].append((of[label["key"]][first : last + 1], of[label["key"]][first - 100 : first]))
    return found


def marked(trades: pl.DataFrame, labels: pl.DataFrame) -> Bools:
    """Which trades belong to an anomaly, by sequence."""
    inside: Bools = np.zeros(trades.height, dtype=np.bool_)
    for label in labels.iter_rows(named=True):
        inside |= (trades["symbol"] == label["key"]).to_numpy() & trades["sequence"].is_between(
            label["first_sequence"], label["last_sequence"]
        ).to_numpy()
    return inside


def write(folder: Path, name: str = "t.csv", labels: str = "l.csv", **more: Any) -> tuple[bytes, bytes]:
    folder.mkdir(exist_ok=True)
    generate_trades(folder / name, folder / labels, **{"rows": 30_000, "symbols": 3, "seed": 3, **more})
    assert sorted(path.name for path in folder.iterdir()) == sorted([name, labels])
    return (folder / name).read_bytes(), (folder / labels).read_bytes()


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zst", "t.parquet"])
def test_same_seed_same_bytes(tmp_path: Path, name: str) -> None:
    first = write(tmp_path / "a", name)
    assert first == write(tmp_path / "b", name)
    other = write(tmp_path / "c", name, seed=4)
    assert hashlib.sha256(first[0]).digest() != hashlib.sha256(other[0]).digest()
    assert first[1] != other[1]


def test_every_ending_holds_the_same_trades(tmp_path: Path) -> None:
    plain, labels = write(tmp_path / "a")
    packed, table = write(tmp_path / "b", "t.csv.gz", "l.parquet")
    assert gzip.decompress(packed) == plain
    write(tmp_path / "c", "t.csv.zst")
    write(tmp_path / "d", "t.parquet")
    read = pl.read_csv(tmp_path / "a" / "t.csv", schema_overrides={"ts_recv": pl.String, "ts_event": pl.String})
    assert pl.read_csv(tmp_path / "c" / "t.csv.zst", schema=read.schema).equals(read)
    times = [pl.col(name).str.to_datetime("%+", time_unit="ns", time_zone="UTC") for name in ("ts_recv", "ts_event")]
    typed = read.with_columns(times).select(pl.col(name).cast(kind) for name, kind in TRADES.items())
    assert pl.read_parquet(tmp_path / "d" / "t.parquet").equals(typed)
    assert plain.startswith(HEADER.encode() + b"\n2021-01-04T14:30:0")
    assert labels.count(b"\n") == pl.read_parquet(tmp_path / "b" / "l.parquet").height + 1 > len(KINDS)
    assert len(table) > 0


def test_blocks_leave_no_seam(made: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offbeat.evaluate.generate_trades._BLOCK", 777)
    write(tmp_path, "t.parquet", "l.parquet", rows=ROWS, symbols=SYMBOLS, seed=11)
    assert pl.read_parquet(tmp_path / "t.parquet").equals(made[0])
    assert pl.read_parquet(tmp_path / "l.parquet").equals(made[1])


def test_order_of_the_rows(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    trades, _ = made
    assert trades["ts_event"].is_sorted()
    assert trades["ts_recv"].is_sorted()
    assert (trades["ts_recv"] > trades["ts_event"]).all()
    assert trades["sequence"].to_list() == list(range(1, ROWS + 1))
    assert trades.select(pl.struct("symbol", "instrument_id").n_unique()).item() == SYMBOLS


def test_the_shape_of_the_day(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """0.5 + 1.5 x² over x from -1 to 1: the outer tenths (mean 1.88) hold 3.7 times the trades of the middle ones (mean 0.51)."""
    trades, _ = made
    days = trades["ts_event"].dt.date().unique(maintain_order=True)
    whole = trades.filter(pl.col("ts_event").dt.date().is_in(days.head(-1).to_list()))
    minute = whole["ts_event"].dt.hour().cast(pl.Int32) * 60 + whole["ts_event"].dt.minute() - (14 * 60 + 30)
    assert minute.is_between(0, 389).all()  # 09:30 to 16:00 in New York, in winter
    tenth = np.bincount((minute // 39).to_numpy(), minlength=10)
    assert 2.8 < (tenth[0] + tenth[9]) / (tenth[4] + tenth[5]) < 4.8


def test_arrivals_are_clustered(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """Orders in 10 s vary more than those of a Poisson process, whose variance is its mean; and orders of several fills make ties.

    A fill follows another with probability 0.42, so about that share of the waiting times is 0.
    """
    trades, labels = made
    one = trades.filter(pl.Series(~marked(trades, labels)) & (pl.col("symbol") == "ALDER"))
    orders = one.filter(pl.col("ts_event").dt.hour() == 17)["ts_event"].unique()
    for _, day in orders.to_frame().group_by(orders.dt.date()):
        counts = np.bincount((day["ts_event"].dt.minute().cast(pl.Int32) * 6 + day["ts_event"].dt.second() // 10).to_numpy(), minlength=360)
        assert counts.var() > 1.7 * counts.mean()
    waits = one["ts_event"].diff().drop_nulls().cast(pl.Int64).to_numpy()
    assert np.mean(waits == 0) == pytest.approx(0.42, abs=0.02)


def test_prices_bounce_and_their_changes_cluster(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    trades, labels = made
    usual = trades.filter(pl.Series(~marked(trades, labels)))
    apart = []
    for _, part in usual.group_by("symbol"):
        price = part["price"].to_numpy()
        assert np.abs(price * 100 - np.rint(price * 100)).max() < 1e-6
        change = np.diff(price)
        change = change[np.abs(change) < 6 * change.std()]
        assert np.corrcoef(change[1:], change[:-1])[0, 1] < -0.08  # without the bounce 0, with a standard error of at most 0.006
        # means of 25 trades are nearly free of the bounce; their moves, whatever the sign, are great or small together
        move = np.abs(np.diff(price[: len(price) // 25 * 25].reshape(-1, 25).mean(axis=1)))
        apart.append(float(np.corrcoef(move[2:], move[:-2])[0, 1]))
    assert np.mean(apart) > 0.05  # without clusters 0, with a standard error of about 0.01


def test_buyers_pay_more_than_sellers_get(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    trades, _ = made
    for _, part in trades.group_by("symbol"):
        turn = part.with_columns(move=pl.col("price").diff(), before=pl.col("side").shift()).filter(pl.col("side") != pl.col("before"))
        down, up = (float(np.median(turn.filter(pl.col("side") == side)["move"].drop_nulls().to_numpy())) for side in "AB")
        assert down < 0 < up
        shares = part["side"].value_counts(normalize=True).rows()
        assert dict(shares).keys() == {"A", "B", "N"}
        assert all(0.4 < share < 0.6 for side, share in shares if side != "N")


def test_sizes(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """The mixture: 68 % one round lot, 12 % odd lots, 17 % a few lots, 3 % blocks (which may be one lot, too)."""
    size = made[0]["size"].to_numpy()
    assert size.min() > 0
    assert np.mean(size == 100) == pytest.approx(0.68, abs=0.01)
    assert np.mean(size < 100) == pytest.approx(0.12, abs=0.005)
    assert np.mean(size % 100 == 0) == pytest.approx(0.88, abs=0.005)


def test_symbols_differ(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    by = made[0].group_by("symbol").agg(pl.len(), pl.col("price").median()).sort("len", descending=True)
    weights = 10 ** (-np.arange(SYMBOLS) / 4)
    assert np.allclose(by["len"].to_numpy() / ROWS, weights / weights.sum(), rtol=0.2)
    assert by["price"].n_unique() == SYMBOLS
    assert by["price"].is_between(5, 600).all()


def test_labels_are_apart_and_late_enough(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    trades, labels = made
    assert labels.height == pytest.approx(ROWS / 2_000, rel=0.15)
    for key, part in labels.sort("first_sequence").group_by("key"):
        mine = trades.filter(pl.col("symbol") == key[0])["sequence"]
        first, last = mine.search_sorted(part["first_sequence"]).to_numpy(), mine.search_sorted(part["last_sequence"]).to_numpy()
        assert first[0] >= 2_000
        assert (first[1:] - last[:-1]).min() > 500
    assert marked(trades, labels).mean() == pytest.approx(0.048, abs=0.015)  # (3.5 + 1.5 + 105 + 185 + 185) / 5 trades of 2,000


def test_no_night_lies_in_an_anomaly(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    assert (made[1]["from"].dt.date() == made[1]["to"].dt.date()).all()


def test_labels_match_their_rows(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """Times and sequences name the same trades of the key."""
    trades, labels = made
    for label in labels.iter_rows(named=True):
        mine = trades.filter(pl.col("symbol") == label["key"])
        timed = mine.filter(pl.col("ts_recv").is_between(label["from"], label["to"]))["sequence"].to_list()
        assert timed == mine.filter(pl.col("sequence").is_between(label["first_sequence"], label["last_sequence"]))["sequence"].to_list()
        assert (timed[0], timed[-1]) == (label["first_sequence"], label["last_sequence"])


def test_kinds_occur_equally_often(made: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    counts = np.unique(made[1]["kind"].to_numpy(), return_counts=True)[1]
    assert len(counts) == len(KINDS)
    assert counts.max() - counts.min() <= 1


def test_price_spikes_are_there(planted: dict[str, list[tuple[pl.DataFrame, pl.DataFrame]]]) -> None:
    for rows, before in planted["price_spike"]:
        assert 2 <= rows.height <= 5
        z = (rows["price"].to_numpy() - before["price"].to_numpy().mean()) / before["price"].to_numpy().std(ddof=1)
        assert np.abs(z).min() > 3


def test_size_spikes_are_there(planted: dict[str, list[tuple[pl.DataFrame, pl.DataFrame]]]) -> None:
    for rows, before in planted["size_spike"]:
        assert 1 <= rows.height <= 2
        assert rows["size"].is_between(30_000, 150_000).all()
        assert (rows["size"] % 100 == 0).all()
        assert (before["size"] <= 20_000).all()


def test_bursts_are_there(planted: dict[str, list[tuple[pl.DataFrame, pl.DataFrame]]]) -> None:
    for rows, before in planted["burst"]:
        assert 60 <= rows.height <= 150
        gaps = rows["ts_event"].diff().drop_nulls().cast(pl.Int64)
        assert gaps.is_between(50_000, 1_000_000).all()
        usual = (before["ts_event"][-1] - before["ts_event"][0]).total_seconds() / 99
        assert usual > 20 * gaps.to_numpy().mean() / 1e9


def test_stuck_prices_are_there(planted: dict[str, list[tuple[pl.DataFrame, pl.DataFrame]]]) -> None:
    for rows, before in planted["stuck_price"]:
        assert 120 <= rows.height <= 250
        assert rows["price"].n_unique() == 1
        assert rows["side"].n_unique() >= 2
        assert before["price"].n_unique() > 2


def test_runs_of_one_side_are_there(planted: dict[str, list[tuple[pl.DataFrame, pl.DataFrame]]]) -> None:
    sides = set()
    for rows, before in planted["one_sided_run"]:
        assert 120 <= rows.height <= 250
        assert rows["side"].n_unique() == 1
        assert rows["price"].n_unique() >= 2
        assert before["side"].n_unique() >= 2
        sides |= set(rows["side"])
    assert sides == {"A", "B"}


def test_many_symbols_and_few_rows(tmp_path: Path) -> None:
    made = generate_trades(tmp_path / "t.csv", tmp_path / "l.csv", rows=20_000, symbols=3_000, seed=1)
    trades = pl.read_csv(tmp_path / "t.csv")
    assert (made.rows, made.anomalies) == (trades.height, 0) == (20_000, 0)
    assert trades["symbol"].n_unique() > 2_500
    assert (tmp_path / "l.csv").read_text() == ",".join(LABELS) + "\n"
    assert generate_trades(tmp_path / "t.csv", tmp_path / "l.csv", rows=1, symbols=1, seed=1).rows == 1


def test_rarer_anomalies(tmp_path: Path) -> None:
    made = generate_trades(tmp_path / "t.csv", tmp_path / "l.csv", rows=100_000, symbols=1, seed=2, every=10_000)
    assert made.anomalies == pytest.approx(9.3, abs=3)  # (100,000 - 2,000 - 10,000 / 2) / 10,000 of them


@pytest.mark.usefixtures("made")  # the kernel is compiled: nothing is said of it
def test_the_command(offbeat: Command, tmp_path: Path) -> None:
    done = offbeat("generate", "trades", "--rows", 50_000, "--symbols", 2, "--seed", 5, "--out", tmp_path / "x" / "t.csv.zst")
    labels = pl.read_parquet(tmp_path / "x" / "_t_labels.parquet")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("50,000 trades of 2 stocks on 3 days in ")
    assert f"; {labels.height} anomalies in " in done.out
    assert labels["from"][0] > datetime(2021, 1, 4, tzinfo=UTC)
    few = offbeat("generate", "trades", "--rows", 100, "--out", tmp_path / "few.csv")
    assert few.code == 0
    assert "give more --rows" in few.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--out", "t.txt"], "'t.txt'"),
        (["--out", "t.gz"], "'t.gz'"),
        (["--out", "t.csv", "--labels", "l.json"], "'l.json'"),
        (["--out", "t.csv", "--labels", "t.csv"], "same file"),
        (["--out", "t.csv", "--rows", "5000000000"], "rows"),
    ],
)
def test_refusals(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], why: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert why in offbeat.refused("generate", "trades", *words)
    assert list(tmp_path.iterdir()) == []


def test_places_that_take_no_file(offbeat: Command, tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    assert "cannot write to" in offbeat.refused("generate", "trades", "--rows", 10, "--out", tmp_path / "t.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


@pytest.mark.parametrize("words", [["--rows", "0"], ["--symbols", "0"], ["--every", "10"], ["--seed", "-1"], ["--rows", "many"], []])
def test_bad_options(offbeat: Command, words: list[str]) -> None:
    done = offbeat("generate", "trades", *words, *(["--out", "t.csv"] if words else []))
    assert done.code == 2
    assert done.out == ""


def test_impossible_sizes(tmp_path: Path) -> None:
    wrongs: list[tuple[dict[str, Any], str]] = [({"every": 999}, "1,000"), ({"rows": 0}, "rows"), ({"symbols": 0}, "one symbol")]
    for wrong, words in wrongs:
        with pytest.raises(ValueError, match=words):
            generate_trades(tmp_path / "t.csv", tmp_path / "l.csv", **{"rows": 10, "symbols": 1, "seed": 0, **wrong})
