"""Generated call records: the same bytes for the same seed, like a network in shape, and every planted anomaly is really there."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from command import Command, offbeat

from offbeat.core.batch import F64, I32
from offbeat.evaluate.cdr_anomalies import KINDS, LABELS, Rates
from offbeat.evaluate.cdr_population import calendar, spread_rows
from offbeat.evaluate.cdr_process import make_alias
from offbeat.evaluate.generate_cdr import CDR, ZONE, generate_cdr
from offbeat.evaluate.labels import read_labels
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]

ROWS, DAYS, CUSTOMERS = 400_000, 40, 800
RATES = Rates(sim_box=0.01, night_owl=0.01, exfiltration=0.01, slow_drift=0.01, sensors=0.01, dead_sensor=0.5)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cdr") / "d"
    made = generate_cdr(out, rows=ROWS, days=DAYS, customers=CUSTOMERS, rates=RATES, seed=11, workers=2, zone="UTC")
    # eight of each kind of customer; 1 % of the rows are for sensors, 960 each, so four of them; two die; three and three regions
    assert (made.rows, made.days, made.customers, made.anomalies) == (ROWS, DAYS, CUSTOMERS, 4 * 8 + 2 + 6)
    return out


@pytest.fixture(scope="module")
def calls(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "**/*.parquet", hive_partitioning=False)


@pytest.fixture(scope="module")
def labels(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder.with_name("d_labels.parquet"))


def fingerprint(out: Path) -> dict[str, str]:
    """Of every file below and beside `out`, by its name."""
    files = [*sorted(out.rglob("*.parquet")), *sorted(out.parent.glob(f"{out.name}_*"))]
    return {str(file.relative_to(out.parent))[len(out.name) :]: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def of(calls: pl.DataFrame, label: dict[str, Any]) -> pl.DataFrame:
    return calls.filter(pl.col("customer_id") == int(label["key"]))


def during(rows: pl.DataFrame, label: dict[str, Any]) -> pl.DataFrame:
    return rows.filter(pl.col("timestamp").is_between(label["from"], label["to"]))


def share(which: pl.Series) -> float:
    return float(np.mean(which.to_numpy()))


def kind(labels: pl.DataFrame, name: str) -> list[dict[str, Any]]:
    return labels.filter(pl.col("kind") == name).to_dicts()


def test_bytes_depend_on_the_seed_alone(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"rows": 60_000, "days": 30, "customers": 300}
    found = []
    for name, seed, workers in (("a", 5, 1), ("b", 5, 2), ("c", 5, 7), ("e", 6, 2)):
        generate_cdr(tmp_path / name, seed=seed, workers=workers, **sizes)
        found.append(fingerprint(tmp_path / name))
    assert len(found[0]) == 32
    assert found[0] == found[1] == found[2]
    assert all(found[0][name] != found[3][name] for name in found[0])


def test_columns_and_files(folder: Path, calls: pl.DataFrame, labels: pl.DataFrame) -> None:
    assert (calls.schema, labels.schema) == (CDR, LABELS)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
    assert names == [f"day={date(2024, 1, 1) + i * DAY}/part-0.parquet" for i in range(DAYS)]
    for name in names[::13]:
        days = pl.read_parquet(folder / name, hive_partitioning=False)["timestamp"].dt.date().unique().to_list()
        assert days == [date.fromisoformat(name[4:14])]
    with duckdb.connect() as db:
        found = db.read_parquet(f"{folder}/*/*.parquet").aggregate("count(*), count(DISTINCT cdr_id), min(cdr_id), max(cdr_id)")
        assert found.fetchall() == [(ROWS, ROWS, 1, ROWS)]
    assert calls.sort("cdr_id")["timestamp"].is_sorted()
    assert read_labels(folder.with_name("d_labels.parquet")).events.height == labels.height


def test_volumes(calls: pl.DataFrame) -> None:
    """Whole bytes; only DATA and MMS have any; of DATA the logarithm has the spread of sessions (1.1) and customers (0.5) together."""
    mb = calls["data_volume_mb"].to_numpy()
    assert (np.rint(mb * 1e6) / 1e6 == mb).all()
    without = calls.filter(pl.col("data_volume_mb") == 0.0)["cdr_type"].unique()
    assert set(without) == {"VOICE", "SMS"}
    assert calls.filter(pl.col("cdr_type").is_in(["VOICE", "SMS"]))["data_volume_mb"].max() == 0.0
    logs = np.log(calls.filter((pl.col("cdr_type") == "DATA") & (pl.col("data_volume_mb") > 0.03))["data_volume_mb"].to_numpy())
    assert np.median(logs) == pytest.approx(np.log(8.0), abs=0.15)
    assert logs.std() == pytest.approx(np.hypot(1.1, 0.5), abs=0.12)


def test_shares_of_types(calls: pl.DataFrame) -> None:
    counts = dict(calls["cdr_type"].value_counts().iter_rows())
    planted = 0.03 * ROWS  # sensors, calls of SIM boxes and nights at most
    for name, part in (("DATA", 0.62), ("VOICE", 0.25), ("SMS", 0.12), ("MMS", 0.01)):
        assert counts[name] == pytest.approx(part * ROWS, abs=planted + 4 * np.sqrt(part * ROWS))


def test_customers_have_a_long_tail(calls: pl.DataFrame) -> None:
    """Of a lognormal with sigma 1.1 the first tenth holds Phi(1.1 - 1.2816) = 43 %, the lower half Phi(-1.1) = 14 %."""
    counts = np.sort(calls["customer_id"].value_counts()["count"].to_numpy())[::-1]
    assert len(counts) > 0.95 * CUSTOMERS
    assert counts[:80].sum() / ROWS == pytest.approx(0.43, abs=0.06)
    assert counts[400:].sum() / ROWS == pytest.approx(0.136, abs=0.04)


def test_regions_follow_zipf_and_have_rhythms(calls: pl.DataFrame) -> None:
    counts = calls["wilaya_code"].value_counts(sort=True)
    assert counts.height == 58
    largest = counts["count"].to_numpy()
    assert largest[0] / largest[9] == pytest.approx(10, rel=0.25)
    by = calls.filter(pl.col("wilaya_code").is_in(counts["wilaya_code"][:4].implode())).group_by("wilaya_code")
    morning = by.agg(pl.col("timestamp").dt.hour().is_between(8, 11).mean())["timestamp"].to_numpy()
    # 505 of 1747 in the working day, 275 of 1796 in the evening's: regions lie between the two, each elsewhere
    assert (morning > 0.14).all()
    assert (morning < 0.30).all()
    assert morning.max() - morning.min() > 0.01


def test_nights_are_quiet_and_weeks_have_ends(calls: pl.DataFrame) -> None:
    """Of both days' curves 1 % lies in hours 02 to 05; Fridays and Saturdays have 65 to 95 % of other days."""
    hours = calls["timestamp"].dt.hour()
    assert 0.008 < share(hours.is_between(2, 5)) < 0.03
    daily = calls.group_by(pl.col("timestamp").dt.date()).len().sort("timestamp")
    weekend = daily["timestamp"].dt.weekday().is_in([5, 6])
    at_end, in_week = (np.mean(daily.filter(days)["len"].to_numpy()) for days in (weekend, ~weekend))
    assert 0.6 < at_end / in_week < 1.0


def test_labels_are_late_and_apart(labels: pl.DataFrame) -> None:
    assert set(labels["kind"]) == set(KINDS)
    assert labels["key"].n_unique() == labels.height
    assert min(labels["from"]) >= datetime(2024, 1, 22, tzinfo=UTC)
    assert max(labels["to"]) < datetime(2024, 2, 10, tzinfo=UTC)
    assert share(labels["from"] >= datetime(2024, 1, 27, tzinfo=UTC)) > 0.6
    regions = pl.col("kind").is_in(["region_outage", "region_surge"])
    assert labels.filter(regions)["view"].to_list() == ["region_hour"] * 6
    assert labels.filter(~regions)["view"].unique().to_list() == ["customer_day"]


def test_sim_boxes_call_all_day(calls: pl.DataFrame, labels: pl.DataFrame) -> None:
    for label in kind(labels, "sim_box"):
        mine = of(calls, label).filter(pl.col("cdr_type") == "VOICE")
        odd = mine.filter(pl.col("timestamp").dt.date().is_between(label["from"].date(), label["to"].date()))
        daily = odd.group_by(pl.col("timestamp").dt.date()).agg(pl.len(), pl.col("timestamp").dt.hour().n_unique().alias("hours"))
        assert min(daily["len"]) >= 150
        assert min(daily["hours"]) >= 15
        usual = mine.filter(pl.col("timestamp") < label["from"].replace(hour=0, minute=0, second=0, microsecond=0))
        days = (label["from"] - datetime(2024, 1, 1, tzinfo=UTC)).days
        assert usual.height / days < 15


def test_night_owls_are_up_at_night(calls: pl.DataFrame, labels: pl.DataFrame) -> None:
    for label in kind(labels, "night_owl"):
        night = of(calls, label).filter(pl.col("timestamp").dt.hour().is_between(2, 5))
        nights = during(night, label).group_by(pl.col("timestamp").dt.date()).len()
        assert min(nights["len"]) >= 20
        assert nights.height == (label["to"].date() - label["from"].date()).days + 1
        before = night.filter(pl.col("timestamp") < label["from"])
        assert max(before.group_by(pl.col("timestamp").dt.date()).len()["len"]) <= 10


def test_exfiltrations_are_one_huge_session(calls: pl.DataFrame, labels: pl.DataFrame) -> None:
    for label in kind(labels, "exfiltration"):
        mine = of(calls, label)
        (row,) = during(mine, label).to_dicts()
        assert row["cdr_type"] == "DATA"
        assert 5_000 <= row["data_volume_mb"] <= 50_000
        assert row["data_volume_mb"] > 5 * sorted(mine["data_volume_mb"])[-2]


def test_slow_drifts_grow(calls: pl.DataFrame, labels: pl.DataFrame) -> None:
    """In the last three days sessions are 3 to 8 times the usual; half way about half of that."""
    late, middle = [], []
    for label in kind(labels, "slow_drift"):
        mine = of(calls, label).filter(pl.col("cdr_type") == "DATA")
        assert 10 <= round((label["to"] - label["from"]) / DAY, 6) <= 14
        usual = mine.filter(pl.col("timestamp") < label["from"])["data_volume_mb"].log().mean()
        grown = during(mine, label).with_columns(pl.col("data_volume_mb").log() - usual)
        late.append(np.mean(grown.filter(pl.col("timestamp") > label["to"] - 3 * DAY)["data_volume_mb"].to_numpy()))
        half = label["from"] + (label["to"] - label["from"]) / 2
        middle.append(np.mean(grown.filter((pl.col("timestamp") - half).abs() < 2 * DAY)["data_volume_mb"].to_numpy()))
    assert np.log(3.0) < np.mean(late) < np.log(8.0)
    assert 0.4 < np.mean(middle) < np.mean(late) - 0.2


def test_dead_sensors_fall_silent(folder: Path, calls: pl.DataFrame, labels: pl.DataFrame) -> None:
    people = pl.read_parquet(folder.with_name("d_customers.parquet"))
    assert people["customer_id"].to_list() == list(range(100_000_001, 100_000_001 + CUSTOMERS))
    sensors = people.filter(pl.col("segment") == "sensor")["customer_id"].to_list()
    dead = {int(label["key"]): label for label in kind(labels, "dead_sensor")}
    assert len(sensors) == 4
    assert set(dead) < set(sensors)
    for sensor in sensors:
        times = calls.filter(pl.col("customer_id") == sensor)["timestamp"].sort()
        gaps = times.diff().drop_nulls()
        assert timedelta(minutes=58) <= min(gaps) <= max(gaps) <= timedelta(minutes=62)
        if sensor in dead:
            assert timedelta(minutes=58) <= dead[sensor]["from"] - times[-1] <= timedelta(minutes=62)
            assert dead[sensor]["to"] == datetime(2024, 2, 9, 23, 59, 59, 999_999, tzinfo=UTC)
        else:
            assert len(times) == 24 * DAYS


def test_regions_go_down_and_up(calls: pl.DataFrame, labels: pl.DataFrame) -> None:
    for label in [*kind(labels, "region_outage"), *kind(labels, "region_surge")]:
        assert (label["to"] - label["from"]) % timedelta(hours=1) == timedelta(hours=1) - timedelta(microseconds=1)
        here = calls.filter(pl.col("wilaya_code") == label["key"])
        usual = [during(here, {"from": label["from"] - i * DAY, "to": label["to"] - i * DAY}).height for i in range(1, 15)]
        ratio = during(here, label).height / np.mean(usual)
        assert ratio < 0.25 if label["kind"] == "region_outage" else 3.5 < ratio < 12


def test_people_stay_at_home(folder: Path, calls: pl.DataFrame) -> None:
    """All but 5 % of the records, and of these those that happen to be at home, too."""
    people = pl.read_parquet(folder.with_name("d_customers.parquet"))
    joined = calls.join(people, on="customer_id")
    assert 0.93 < share(joined["wilaya_code"] == joined["home_wilaya"]) < 0.98


def test_days_are_those_of_the_zone(tmp_path: Path) -> None:
    """By default those of Algiers, an hour ahead of UTC."""
    generate_cdr(tmp_path / "d", rows=60_000, days=3, seed=2)
    for i in range(3):
        day = date(2024, 1, 1) + i * DAY
        times = pl.read_parquet(tmp_path / "d" / f"day={day}" / "part-0.parquet", hive_partitioning=False)["timestamp"]
        assert min(times) >= datetime(2023, 12, 31, 23, tzinfo=UTC) + i * DAY
        assert max(times) < datetime(2024, 1, 1, 23, tzinfo=UTC) + i * DAY
    hours = (
        pl.read_parquet(tmp_path / "d" / "**/*.parquet", hive_partitioning=False)["timestamp"].dt.hour().value_counts().sort("timestamp")
    )
    shares = hours["count"].to_numpy() / 60_000
    assert shares[1:5].sum() < 0.015  # hours 02 to 05 there
    assert shares[6] > 3 * shares[4]


def test_the_shipped_pipeline_has_the_same_days_and_views(labels: pl.DataFrame) -> None:
    plan = load_plan("cdr")
    assert plan.source.time.zone == ZONE
    assert set(labels["view"]) <= {view.name for view in plan.views}


def test_days_with_a_change_of_the_clock() -> None:
    """Berlin: 31 March 2024 has no hour 2; 27 October has two."""
    hours = calendar(310, "Europe/Berlin")
    lengths = np.diff(hours.first_slot)
    spring, autumn = (date(2024, 3, 31) - date(2024, 1, 1)).days, (date(2024, 10, 27) - date(2024, 1, 1)).days
    assert [int(i) for i in np.flatnonzero(lengths != 24)] == [spring, autumn]
    for day, count in ((spring, 0), (autumn, 2)):
        assert (hours.hour[hours.first_slot[day] : hours.first_slot[day + 1]] == 2).sum() == count
    assert (np.diff(hours.start_us) == 3_600_000_000).all()


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0, 4.0], [0.0, 5.0, 0.0, 0.1], [1e-9, 1.0, 1e9]])
def test_alias_tables_draw_in_proportion(weights: list[float]) -> None:
    """Place i is drawn when it is hit and accepted, or when one that stands aside for it is hit."""
    n = len(weights)
    accept: F64 = np.empty(n)
    other: I32 = np.empty(n, np.int32)
    make_alias(np.array(weights), accept, other)
    drawn = [(accept[i] + sum(1.0 - accept[j] for j in range(n) if other[j] == i)) / n for i in range(n)]
    for i in range(n):
        assert drawn[i] == pytest.approx(weights[i] / sum(weights), abs=1e-12)


def test_rows_are_spread_to_the_last() -> None:
    """7 in proportion 1 : 2 : 3 are 1.17, 2.33, 3.5; the one left goes to the largest remainder."""
    assert spread_rows(7, np.array([1.0, 2.0, 3.0])).tolist() == [1, 2, 4]
    assert spread_rows(2, np.array([5.0, 0.0, 1.0])).tolist() == [2, 0, 0]


def test_few_rows_and_one_customer(tmp_path: Path) -> None:
    made = generate_cdr(tmp_path / "d", rows=3, days=5, customers=1, seed=1)
    calls = pl.read_parquet(tmp_path / "d" / "**/*.parquet", hive_partitioning=False)
    assert (made.anomalies, calls["customer_id"].to_list(), sorted(calls["cdr_id"])) == (0, [100_000_001] * 3, [1, 2, 3])


def test_what_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def stop(rows: int, days: int) -> None:
        assert rows >= 0 <= days
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_cdr(tmp_path / "d", rows=500_000, days=30, seed=1, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_command(offbeat: Command, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    done = offbeat("generate", "cdr", "--rows", 50_000, "--days", 26, "--seed", 5, "--out", tmp_path / "d", "--surges", 0)
    assert (done.code, done.err) == (0, "")
    labels = pl.read_parquet(tmp_path / "d_labels.parquet")
    assert (
        done.out
        == f"50,000 records of 160 customers on 26 days in {tmp_path}/d; {labels.height} anomalies in {tmp_path}/d_labels.parquet\n"
    )
    assert set(labels["kind"]) == set(KINDS) - {"region_surge", "dead_sensor"}  # sensors would have more than 1 % of the rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "d_customers.parquet", "d_labels.parquet"]
    assert f"{tmp_path / 'd'} exists" in offbeat.refused("generate", "cdr", "--rows", 10, "--days", 2, "--out", tmp_path / "d")
    few = offbeat("generate", "cdr", "--rows", 100, "--days", 2, "--out", tmp_path / "few")
    assert few.code == 0
    assert "--days 24" in few.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--zone", "Mars/Base"], "'Mars/Base'"),
        (["--zone", "../x"], "'../x'"),
        (["--rows", "1000000000000"], "rows"),
        (["--days", "4000", "--rows", "10"], "3,650 days"),
        (["--rows", "1000"], "give more rows"),
        (["--rows", "100000", "--outages", "60"], "regions"),
        (["--rows", "100000", "--customers", "2"], "give more customers"),
    ],
)
def test_refusals(offbeat: Command, tmp_path: Path, words: list[str], why: str) -> None:
    assert why in offbeat.refused("generate", "cdr", "--out", tmp_path / "d", *words)
    assert list(tmp_path.iterdir()) == []


def test_places_that_take_no_folder(offbeat: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert f"{tmp_path / 'file'} exists" in offbeat.refused("generate", "cdr", "--rows", 10, "--days", 2, "--out", tmp_path / "file")
    assert "cannot write to" in offbeat.refused("generate", "cdr", "--rows", 10, "--days", 2, "--out", tmp_path / "file" / "d")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("words", [["--rows", "0"], ["--sim-box", "2"], ["--seed", "-1"], ["--surges", "-1"], ["--days", "some"], []])
def test_bad_options(offbeat: Command, tmp_path: Path, words: list[str]) -> None:
    done = offbeat("generate", "cdr", *words, *(["--out", tmp_path / "d"] if words else []))
    assert (done.code, done.out) == (2, "")
