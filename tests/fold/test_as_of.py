"""Mode `fixed` of `as_of` against SQL written from the description of system B, points 1 to 3, and what the two modes share [S16]."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from command import STREAM, Command, adds_up, offbeat
from oracle_population import Verdict, Window, fixed
from run_notes import but_silence
from test_sql_cdr import CUSTOMER_DAYS, Told, assert_same, votes, windows

from offbeat import run
from offbeat.core.plan import PopulationPlan
from offbeat.evaluate.generate_cdr import generate_cdr
from offbeat.spec.lint import lint_text
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]
pytestmark = pytest.mark.heavy
DAYS, STILL, NIGHT_OWL = 45, 1, 2
DAY_NS = 86_400_000_000_000
DATED = date(2024, 2, 8)
"""Given as the day; the records go on to the 15th."""
OVERRIDES = [f"customer_day.{name}.enabled=false" for name in ("zscore_all", "absence")]  # what system B does not have
OVERRIDES += ["customer_day.forest.trees=5", "customer_day.forest.sample_rows=2000"]  # the forest in plain Python is slow
MEASURES = ("sessions", "total_mb", "max_mb")

SQL = """
CREATE TABLE baseline AS
SELECT customer, count(*) AS days, avg(sessions) AS mean_sessions, stddev_samp(sessions) AS std_sessions,
  avg(total_mb) AS mean_total_mb, stddev_samp(total_mb) AS std_total_mb, avg(max_mb) AS mean_max_mb, stddev_samp(max_mb) AS std_max_mb,
  avg(hours) AS mean_hours, stddev_samp(hours) AS std_hours
FROM customer_day WHERE sessions > 0 AND day < $as_of - INTERVAL 7 DAY
GROUP BY customer HAVING count(*) >= 14;
CREATE TABLE recent AS
SELECT * FROM customer_day JOIN baseline USING (customer) WHERE day >= $as_of - INTERVAL 7 DAY AND day < $as_of;
CREATE TABLE zscore AS
SELECT customer, day, sessions, total_mb, max_mb, hours, coalesce(abs(sessions - mean_sessions) / nullif(std_sessions, 0), 0) AS z_sessions,
  coalesce(abs(total_mb - mean_total_mb) / nullif(std_total_mb, 0), 0) AS z_total_mb,
  coalesce(abs(max_mb - mean_max_mb) / nullif(std_max_mb, 0), 0) AS z_max_mb, greatest(z_sessions, z_total_mb, z_max_mb) AS z
FROM recent WHERE sessions > 0;
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One run in mode `fixed`."""

    told: Told
    as_of: date
    notes: list[str]
    records: Path

    def count(self, query: str) -> int:
        """A number that SQL says."""
        return int(self.told.ask(f"SELECT count(*) AS n {query}")["n"].item())


def planted() -> pl.DataFrame:
    """A customer without any spread: two sessions of the same size day by day, and on the last days three, and larger ones.

    And one who calls at night.
    """
    rows = []
    for day in range(DAYS):
        for session in range(2 + (day >= DAYS - 3)):
            at = datetime(2024, 1, 1, 9 + session + day % 3, tzinfo=UTC) + timedelta(days=day)
            rows.append((10**9 + 10 * day + session, STILL, at, "DATA", 4.5 if day < DAYS - 2 else 90.0, "16"))
    night = datetime(2024, 1, 20, 2, tzinfo=UTC)
    rows += [(2 * 10**9 + minute, NIGHT_OWL, night + timedelta(minutes=minute), "VOICE", 0.0, "16") for minute in range(11)]
    names = ["cdr_id", "customer_id", "timestamp", "cdr_type", "data_volume_mb", "wilaya_code"]
    return pl.DataFrame(rows, names, orient="row").cast({"timestamp": pl.Datetime("us", "UTC")})


def judged(records: Path, out: Path, *overrides: str) -> tuple[Told, list[str]]:
    """A run over the records, beside SQL's days of customers."""
    found = run("cdr", records, alerts=out / "alerts.parquet", tables=out / "tables", overrides=[*OVERRIDES, *overrides])
    con = duckdb.connect()
    con.execute(CUSTOMER_DAYS.replace("$files", f"'{records / '**' / '*.parquet'}'"))
    return Told(con, found.run.as_dict(), pl.read_parquet(out / "alerts.parquet"), out / "tables"), but_silence(found.run.notes)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cdr") / "records"
    generate_cdr(out, rows=90_000, days=DAYS, customers=250, seed=5)
    planted().write_parquet(out / "still.parquet")
    return out


@pytest.fixture(scope="module", params=["date", "default"])
def case(records: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Case]:
    dated = [f"as_of.date={DATED}"] if request.param == "date" else []
    told, notes = judged(records, tmp_path_factory.mktemp(request.param), "as_of.mode=fixed", *dated)
    last = told.ask("SELECT max(day) AS day FROM customer_day")["day"].item()
    as_of = DATED if dated else last + timedelta(days=1)
    with told.sql as con:
        con.execute(SQL.replace("$as_of", f"DATE '{as_of}'"))
        yield Case(told, as_of, notes, records)


@pytest.fixture(scope="module")
def rolling(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    # As of one moment windows without a row are not judged: an hour without records is none [S16].
    return judged(records, tmp_path_factory.mktemp("rolling"), "region_hour.rollup.fill=none")[0]


def test_baselines_end_a_week_before_the_day(case: Case) -> None:
    features = [f"{what}_{name}" for name in (*MEASURES, "hours") for what in ("mean", "std")]
    assert_same(case.told.table("baselines"), case.told.ask("FROM recent"), ["customer", "day"], ["days", *features])


def test_zscores_are_those_of_the_last_week(case: Case) -> None:
    found, expected = case.told.table("zscores"), case.told.ask("FROM zscore")
    spread = case.told.ask("SELECT customer, day FROM recent WHERE sessions > 0 AND greatest(std_sessions, std_total_mb, std_max_mb) > 0")
    assert set(expected["customer"]) - set(spread["customer"]) == {str(STILL)}
    distances = [pl.col(f"zscore_{name}").abs().fill_null(0.0).alias(f"z_{name}") for name in MEASURES]
    numbers = ["sessions", "total_mb", "max_mb", "hours", "z_sessions", "z_total_mb", "z_max_mb"]
    # Where nothing has any spread, system B writes zeros where we write no row: neither flags anything [S7].
    assert_same(found.with_columns(distances), expected.join(spread, on=["customer", "day"], how="semi"), ["customer", "day"], numbers)
    assert expected.join(spread, on=["customer", "day"], how="anti")["z"].max() == 0.0
    flagged = windows(expected.filter(pl.col("z") > 3), "customer", "day")
    assert votes(case.told.alerts, "customer_day", "zscore") == flagged
    assert len(flagged) > 20


def test_values_without_any_spread_are_counted(case: Case) -> None:
    counts = case.told.ledger["views"]["customer_day"]["no_spread"]
    expected = {f"zscore.{name}": case.count(f"FROM recent WHERE sessions > 0 AND std_{name} = 0") for name in MEASURES}
    assert counts == {name: n for name, n in expected.items() if n}
    assert min(expected.values()) >= 7


def test_the_count_goes_on_over_runs(tmp_path: Path) -> None:
    # 14 days lie seven or more days before the 21st of 45 days; up to the end all baselines are of days that are alike.
    early = pl.col("timestamp") < datetime(2024, 2, 1, tzinfo=UTC)
    files = [tmp_path / "early.parquet", tmp_path / "late.parquet"]
    planted().filter(early).write_parquet(files[0])
    planted().filter(~early).write_parquet(files[1])
    counts = []
    for names in (files[:1], files):
        found = run("cdr", [str(name) for name in names], alerts=tmp_path / "alerts.parquet", state=tmp_path / "state")
        views = found.run.as_dict()["views"]
        counts.append({name: views["customer_day"]["detectors"][name]["verdicts"] for name in ("zscore", "zscore_all")})
        assert views["customer_day"]["no_spread"] == {}
    # Each customer-day with a baseline has a verdict, days that are alike too.
    assert counts == [dict.fromkeys(("zscore", "zscore_all"), days - 20) for days in (31, 45)]


def test_rows_from_the_day_on_are_not_judged(case: Case) -> None:
    ledger = case.told.ledger
    later = case.count(f"FROM record WHERE local >= DATE '{case.as_of}'")
    assert adds_up(ledger)
    assert ledger["warming_up"] == later
    assert ledger["rows_in"] == ledger["scored"] + later == case.count("FROM record")
    assert ledger["views"]["customer_day"]["windows"] == case.count(f"FROM customer_day WHERE day < DATE '{case.as_of}'")
    assert (later > 0) == (case.as_of == DATED)
    others = [note for note in case.notes if not note.startswith("as of ")]
    assert others == (["rows later than `as_of.date` allows were not judged: they count as warming up"] if later else [])


def test_the_forest_judges_the_days_it_learnt_from(case: Case) -> None:
    plan = load_plan("cdr", OVERRIDES)
    forest = next(d for d in plan.views[0].detectors if isinstance(d, PopulationPlan))
    rows = case.told.ask("SELECT customer, day, nullif(sessions, 0) AS n, total_mb, max_mb FROM customer_day")
    days = [
        Window(customer, start_ns(day), tuple(math.nan if x is None else float(x) for x in values))
        for customer, day, *values in rows.filter(pl.col("day") < case.as_of).iter_rows()
    ]
    end = start_ns(case.as_of)
    verdicts = dict(zip(days, fixed(forest, "customer_day", plan.seed, days, end - 30 * DAY_NS, end), strict=True))
    alerts = case.told.alerts.filter(pl.col("view") == "customer_day").select("key", "time", "detectors").explode("detectors")
    said = alerts.unnest("detectors").filter(pl.col("name") == "forest").with_columns(pl.col("time").dt.epoch("ns"))
    said = said.select("key", "time", "raw", "threshold", "score", "voted")
    found = {(key, time): Verdict(*of) for key, time, *of in said.iter_rows()}
    assert {place for place, verdict in found.items() if verdict.voted} == {(w.key, w.start) for w, v in verdicts.items() if v.voted}
    by_place = {(w.key, w.start): verdict for w, verdict in verdicts.items()}
    assert {place: by_place[place] for place in found} == found
    learnt = [v for w, v in verdicts.items() if v.raw is not None]
    assert 0.04 < sum(v.voted for v in learnt) / len(learnt) < 0.06


def start_ns(day: date) -> int:
    """When a day begins in Algiers."""
    return (day - date(1970, 1, 1)).days * DAY_NS - DAY_NS // 24


def test_what_has_no_baseline_is_judged_as_ever(case: Case, rolling: Told) -> None:
    before = pl.col("time").dt.epoch("ns") < start_ns(case.as_of)
    then = rolling.alerts.filter(before)
    for view, detector in (("customer_day", "night_owls"), ("customer_day", "spike_ratio"), ("region_hour", "upper")):
        assert votes(case.told.alerts, view, detector) == votes(then, view, detector) != set()


def test_of_the_last_day_both_modes_say_the_same(case: Case, rolling: Told) -> None:
    last = pl.col("day") == case.as_of - timedelta(days=1)
    for name in ("zscores", "baselines"):
        ours, theirs = (told.table(name).filter(last).sort("customer") for told in (case.told, rolling))
        # Another value than one that never varied is infinitely far out, which a fixed day, as system B, takes for 0.
        endless = pl.any_horizontal(pl.col("^zscore_(sessions|total_mb|max_mb)$").is_null()) if name == "zscores" else pl.lit(value=False)
        told = theirs.filter(~endless)
        assert told.height > max(10, 0.9 * theirs.height)
        told = told.join(ours, on="customer", how="semi")  # a value that is the one there ever was has a verdict in rolling mode only
        assert told.height > max(10, 0.9 * ours.height)
        assert ours.join(told, on="customer", how="semi").equals(told)


def test_the_default_is_the_day_after_the_last(records: Path, tmp_path: Path) -> None:
    # With a date, windows before the days that the forest learns from are closed on the way; without one, all wait to the end.
    default, dated = (
        judged(records, tmp_path / str(len(given)), "as_of.mode=fixed", *given)[0] for given in ([], ["as_of.date=2024-02-15"])
    )
    assert default.alerts.drop("plan_hash").sort("alert_id").equals(dated.alerts.drop("plan_hash").sort("alert_id"))
    assert default.ledger["views"] == dated.ledger["views"]
    for name in ("baselines", "zscores", "patterns", "consolidated"):
        one, two = (each.table(name).sort("customer", "start") for each in (default, dated))
        assert one.height > 10
        assert one.equals(two)


@pytest.mark.parametrize(("more", "why"), [(["-"], "standard input has no end"), (["records", "--state", "state"], "leave --state out")])
def test_what_is_no_whole_batch_is_refused(offbeat: Command, records: Path, tmp_path: Path, more: list[str], why: str) -> None:
    names = {"records": records, "state": tmp_path / "state"}
    said = offbeat.refused("run", "cdr", *(names.get(word, word) for word in more), "--set", "as_of.mode=fixed")
    assert said.startswith("`as_of.mode: fixed` judges a batch as a whole, when all of it is known: ")
    assert why in said
    assert not (tmp_path / "state").exists()


def test_the_command_line_says_what_it_left_out(offbeat: Command, records: Path) -> None:
    args = ["run", "cdr", records, "--set", "as_of.mode=fixed", "--set", "as_of.date=2024-01-20"]
    text = " ".join(offbeat(*args).out.split())
    assert "rows later than `as_of.date` allows were not judged" in text
    assert "customer_day: values left out" not in text  # nobody has 14 days a week before
    assert adds_up(json.loads(offbeat(*args, "--json").out))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{date: 2024-03-01}", "`date` belongs to `mode: fixed`"),
        ("{mode: fixed, date: 2024-02-30}", "not a day; write it as 2024-03-01"),
        ("{mode: fixed, date: 1500-01-01}", "1500-01-01"),
        ("fixd", "fixd"),
        ("fixed", "`fixed` is for views with a `rollup`; view 'v'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(text: str, why: str) -> None:
    problems = [problem for problem in lint_text(f"{STREAM}as_of: {text}\n").problems if why in problem]
    assert len(problems) == 1
    assert problems[0].startswith("pipeline:5: as_of")
