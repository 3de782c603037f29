"""Comparing detectors: figures against scikit-learn, SciPy and counts by hand; what was judged is what a run reports."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command import DATA, Command, offbeat, process
from folders import DOCS, ROOT
from hypothesis import given
from hypothesis import strategies as st

import offbeat as package
from benchmarks.planted_trades import ALTERNATIVES, Setting, planted, table
from offbeat.core.batch import F64
from offbeat.engines.compare import judge, longest_window, names_of, vote_score
from offbeat.evaluate.comparison import Comparison, compared
from offbeat.evaluate.detection_quality import ALARMS, Tolerance, truth_on, worth
from offbeat.evaluate.generate_trades import generate_trades
from offbeat.evaluate.labels import EVENTS, read_labels
from offbeat.evaluate.series import QUANTILES, JudgedRows, Series, agreements, flags
from offbeat.io.read.open_source import open_source
from offbeat.io.report.compare_plot import highest
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]
learn: Any = import_module("sklearn.metrics")
stats: Any = import_module("scipy.stats")
SECOND = 1_000_000_000
STREAM = """
name: stream
source: {key: k, time: t, columns: {v: float}}
views:
  v:
    windows: {w: {over: 3 rows, features: {m: mean(v)}}}
    detectors:
      high: {type: rule, when: v > 2 * m}
      low: {type: rule, when: v < 0.5 * m}
"""


def rows_of(*rows: tuple[str, int], length_ns: int = 1) -> JudgedRows:
    keys = list(dict.fromkeys(key for key, _ in rows))
    slots = np.array([keys.index(key) for key, _ in rows], np.int32)
    ordinals = np.array([rows[: i + 1].count(row) for i, row in enumerate(rows)], np.int32)
    return JudgedRows(keys, slots, np.array([time for _, time in rows], np.int64), ordinals, length_ns)


def series_of(rows: JudgedRows, score: Sequence[float] | F64, name: str = "a") -> Series:
    values = np.array(score, np.float64)
    return Series(name, "rule", rows, values, values > 0.5)


def events_of(*events: tuple[str, str, int, int]) -> pl.DataFrame:
    plain = {"key": pl.String, "kind": pl.String, "from": pl.Int64, "to": pl.Int64}
    return pl.DataFrame(list(events), schema=plain, orient="row").cast({"from": EVENTS["from"], "to": EVENTS["to"]})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("made")
    generate_trades(folder / "t.parquet", folder / "l.csv", rows=40_000, symbols=2, seed=7)
    return folder / "t.parquet", folder / "l.csv"


@pytest.fixture(scope="module")
def trades(made: tuple[Path, Path]) -> Comparison:
    plan = load_plan("trades")
    done = judge(plan, open_source(plan.source, [str(made[0])]), names_of([plan])[0])
    assert done.ledger.rows_in == 40_000
    return compared(done.series, read_labels(made[1]).events, tolerance=longest_window([plan]))


def test_what_was_judged_is_what_a_run_reports(trades: Comparison, made: tuple[Path, Path]) -> None:
    result = package.run("trades", str(made[0]))
    assert [series.name for series in trades.series] == ["forest", "covariance", "zscore", "vote"]
    rows = trades.series[0].rows
    vote = trades.series[3]
    alerts = result.alerts.sort("key", "time", "alert_id")
    flagged = rows.frame().filter(pl.Series(vote.voted)).cast({"key": pl.String}).sort("key", "time")
    assert alerts.height == flagged.height > 100
    assert alerts["key"].cast(pl.String).equals(flagged["key"], check_names=False)
    assert (alerts["time"].cast(pl.Int64) == flagged["time"].cast(pl.Int64)).all()
    judged = int((~np.isnan(vote.score)).sum())
    assert judged == result.ledger["views"]["trade"]["scored"]
    reported = alerts.select("detectors").explode("detectors").unnest("detectors")
    for series in trades.series[:3]:
        mine = np.sort(series.score[vote.voted])
        theirs = reported.filter(pl.col("name").cast(pl.String) == series.name)
        assert np.array_equal(mine, np.sort(theirs["score"].to_numpy()))
        assert int(series.voted[vote.voted].sum()) == int(theirs["voted"].sum())


def test_the_votes_score_passes_one_half_where_enough_vote(trades: Comparison) -> None:
    vote = trades.series[3]
    assert np.array_equal(np.sum([series.voted for series in trades.series[:3]], axis=0) >= 2, vote.voted)
    assert np.array_equal(np.nan_to_num(vote.score) > 0.5, vote.voted)
    assert vote_score(np.array([[0.9, np.nan], [0.1, 0.2], [0.6, np.nan]]), 2).tolist()[0] == 0.6
    assert np.isnan(vote_score(np.array([[0.9, np.nan], [0.1, 0.2], [0.6, np.nan]]), 2)[1])


def test_areas_on_real_scores_are_scikit_learns(trades: Comparison) -> None:
    assert trades.labelled is not None
    for series, truth, found in zip(trades.series, trades.labelled.truths, trades.labelled.worth, strict=True):
        keep = ~truth.after & ~np.isnan(series.score)
        assert found is not None
        assert found.ranking.roc_auc == pytest.approx(learn.roc_auc_score(truth.odd[keep], series.score[keep]), abs=1e-12)
        assert found.ranking.pr_auc == pytest.approx(learn.average_precision_score(truth.odd[keep], series.score[keep]), abs=1e-12)


def test_rows_of_the_labels_are_those_of_their_sequences(trades: Comparison, made: tuple[Path, Path]) -> None:
    """The labels also name sequences; within 100 rows after: counted by SQL-like frames, symbol by symbol."""
    assert trades.labelled is not None
    truth = trades.labelled.truths[0]
    labels = pl.read_csv(made[1])
    odd = after = 0
    for (symbol,), part in pl.read_parquet(made[0]).group_by("symbol"):
        times, sequence = part["ts_recv"].to_physical(), part["sequence"]
        inside, near = np.zeros(part.height, np.bool_), np.zeros(part.height, np.bool_)
        for label in labels.filter(pl.col("key") == symbol).iter_rows(named=True):
            inside |= sequence.is_between(label["first_sequence"], label["last_sequence"]).to_numpy()
            last = int(sequence.search_sorted(label["last_sequence"]))
            near |= ((sequence > label["last_sequence"]) & (times <= times[min(last + 100, part.height - 1)])).to_numpy()
        odd, after = odd + int(inside.sum()), after + int((near & ~inside).sum())
    assert (int(truth.odd.sum()), int(truth.after.sum())) == (odd, after)
    assert (truth.other_keys, truth.other_times) == (0, 0)


def test_recall_at_given_alarms_by_brute_force(trades: Comparison) -> None:
    """The lowest threshold with no more false alarms than allowed, tried one by one."""
    assert trades.labelled is not None
    series, truth, found = trades.series[2], trades.labelled.truths[2], trades.labelled.worth[2]
    assert found is not None
    ordinary = ~(truth.odd | truth.after)
    score = np.nan_to_num(series.score, nan=-1.0)
    allowed = ALARMS[1] * int((~np.isnan(series.score)).sum()) / 10_000
    steps = np.unique(score)[::-1]
    threshold = next(low for low in steps if (ordinary & (score >= low)).sum() > allowed)
    flagged = truth.rows.filter(pl.Series(score > threshold)).cast({"key": pl.String})
    hits = sum(
        flagged.filter((pl.col("key") == key) & pl.col("time").is_between(begin, end)).height > 0
        for key, begin, end in truth.reached.select("key", "from", "to").iter_rows()
    )
    assert found.found_at[1] == hits / truth.events.height


@pytest.mark.parametrize("levels", [3, 50, 10**9])
def test_agreement_is_scikit_learns_and_scipys(levels: int) -> None:
    random = np.random.default_rng(levels)
    rows = rows_of(*(("k", i) for i in range(3_000)))
    a = np.floor(random.random(3_000) * levels) / levels
    b = np.floor((0.5 * a + 0.5 * random.random(3_000)) * levels) / levels
    c = random.random(3_000)
    a[:100], b[50:200] = np.nan, np.nan
    pairs = agreements([series_of(rows, a, "a"), series_of(rows, b, "b"), series_of(rows, c, "c")])
    for pair, (x, y) in zip(pairs, [(a, b), (a, c), (b, c)], strict=True):
        keep = ~np.isnan(x) & ~np.isnan(y)
        left, right = x[keep] > 0.5, y[keep] > 0.5
        assert pair.rows == keep.sum()
        assert pair.jaccard == pytest.approx(learn.jaccard_score(left, right))
        assert pair.a_also_b == pytest.approx(learn.recall_score(left, right))
        assert pair.b_also_a == pytest.approx(learn.precision_score(left, right))
        assert pair.rank_correlation == pytest.approx(stats.spearmanr(x[keep], y[keep]).statistic, abs=1e-12)


def test_agreement_that_cannot_be_told() -> None:
    rows = rows_of(("k", 1), ("k", 2))
    flat = agreements([series_of(rows, [0.2, 0.2]), series_of(rows, [0.1, 0.3], "b")])[0]
    assert (flat.jaccard, flat.a_also_b, flat.rank_correlation) == (None, None, None)
    none = agreements([series_of(rows, [0.9, np.nan]), series_of(rows, [np.nan, 0.9], "b")])[0]
    assert (none.rows, none.votes_a, none.jaccard, none.rank_correlation) == (0, 0, None, None)


def test_pipelines_meet_on_key_time_and_ordinal() -> None:
    """Only (x, 2) the second time, and (y, 5), are in both; both flag the latter."""
    a = series_of(rows_of(("x", 1), ("x", 2), ("x", 2), ("y", 5)), [0.9, 0.9, 0.8, 0.7])
    b = series_of(rows_of(("y", 5), ("x", 2), ("x", 3), ("y", 7)), [0.6, 0.1, 0.9, 0.9], "b")
    pair = agreements([a, b])[0]
    assert (pair.rows, pair.votes_a, pair.votes_b, pair.both) == (2, 2, 1, 1)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, float("nan")]), max_size=40))
def test_flags_counted_slowly(scores: list[float]) -> None:
    said = flags(series_of(rows_of(*(("k", i) for i in range(len(scores)))), scores))
    given_ = sorted(score for score in scores if score == score)
    assert (said.rows, said.judged, said.votes) == (len(scores), len(given_), sum(score > 0.5 for score in given_))
    if not given_:
        assert (said.flag_rate, said.quantiles) == (None, None)
        return
    for q, value in zip(QUANTILES, said.quantiles or (), strict=True):
        assert sum(score <= value for score in given_) >= q * len(given_) - 1e-9
        assert sum(score < value for score in given_) < q * len(given_) or value == given_[0]


def test_tolerance_in_rows_and_in_time_by_hand() -> None:
    rows = rows_of(("a", 10), ("b", 11), ("a", 20), ("a", 30), ("b", 31), ("a", 40), ("a", 40), ("a", 50))
    events = events_of(("a", "x", 15, 21), ("b", "y", 11, 11), ("c", "x", 1, 99), ("a", "x", 60, 70))
    for tolerance, odd, after in [
        (Tolerance(), [1, 2], []),
        (Tolerance(rows=1), [1, 2], [3, 4]),
        (Tolerance(rows=2), [1, 2], [3, 4, 5, 6]),  # two rows at one time go together
        (Tolerance(rows=99), [1, 2], [3, 4, 5, 6, 7]),
        (Tolerance(ns=9), [1, 2], [3]),
        (Tolerance(rows=1, ns=29), [1, 2], [3, 4, 5, 6, 7]),
    ]:
        truth = truth_on(events, rows, tolerance)
        assert (truth.other_keys, truth.other_times, truth.events.height) == (1, 1, 2)
        assert np.flatnonzero(truth.odd).tolist() == odd
        assert np.flatnonzero(truth.after).tolist() == after
    written = [str(Tolerance(*lengths)) for lengths in ((100,), (1, 90 * SECOND), (0, 600 * SECOND), (0, 1_500), ())]
    assert written == ["100 rows", "1 row or 90s", "10m", "1,500ns", "0s"]


def test_worth_by_hand() -> None:
    """One of two anomalies is found, in the row after it; one flag is false among 5 rows judged."""
    rows = rows_of(("a", 10), ("a", 20), ("a", 30), ("a", 40), ("a", 50), ("a", 60))
    truth = truth_on(events_of(("a", "x", 20, 20), ("a", "y", 50, 50)), rows, Tolerance(rows=1))
    found = worth(series_of(rows, [np.nan, 0.2, 0.8, 0.9, 0.3, 0.4]), truth)
    overall = found.alerts.overall
    assert (overall.precision, overall.recall, overall.f1, found.alerts.per_10_000_rows) == (0.5, 0.5, 0.5, 2_000)
    assert overall.delay is not None
    assert overall.delay.median_ns == 10
    # odd 0.2 and 0.3 against the ordinary 0.9; 0.8 and 0.4 lie in the tolerance, the first row has no score
    assert (found.ranking.odd, found.ranking.rows, found.ranking.unscored, found.ranking.roc_auc) == (2, 3, 1, 0.0)


def test_recall_by_chance_by_hand() -> None:
    """Of 8 rows those at 20 and 30 are false alarms; moved by 4 they stand at 60 and 70, where one of the two anomalies is."""
    rows = rows_of(*(("a", 10 * i) for i in range(8)))
    truth = truth_on(events_of(("a", "x", 65, 70), ("a", "y", 0, 0)), rows, Tolerance())
    assert worth(series_of(rows, [0.9, 0.1, 0.9, 0.9, 0.1, 0.1, 0.1, 0.9]), truth).by_chance == 0.5
    assert worth(series_of(rows, [0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9]), truth).by_chance == 0.0


def test_windows_of_a_rollup_are_odd_where_they_overlap() -> None:
    minute = 60 * SECOND
    rows = rows_of(*(("m", i * minute) for i in range(5)), length_ns=minute)
    truth = truth_on(events_of(("m", "x", 2 * minute - 1, 2 * minute)), rows, Tolerance())
    assert np.flatnonzero(truth.odd).tolist() == [1, 2]


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from([0.1, 0.4, 0.9, float("nan")])), max_size=60), st.integers(1, 10))
def test_the_plot_keeps_the_highest(rows: list[tuple[int, float]], most: int) -> None:
    times, scores = np.array([t for t, _ in rows], np.int64), np.array([s for _, s in rows], np.float64)
    kept = highest(times, scores, most)
    judged = scores[~np.isnan(scores)]
    assert len(kept) == min(most, len(judged))
    assert (np.diff(times[kept]) >= 0).all()
    if len(judged):
        assert scores[kept].max() == judged.max()


def stream(folder: Path) -> tuple[Path, Path]:
    (folder / "s.yaml").write_text(STREAM)
    values = [10, 10, 10, 30, 10, 10, 1, 10, 10, 10, 50, 2]
    lines = [f"{key},2024-01-01T00:00:{i:02}Z,{value}" for i, value in enumerate(values) for key in "ab"]
    (folder / "s.csv").write_text("\n".join(["k,t,v", *lines]) + "\n")
    up, down = ",".join(["2024-01-01T00:00:03Z"] * 2), ",".join(["2024-01-01T00:00:06Z"] * 2)
    (folder / "l.csv").write_text(f"key,kind,from,to\na,up,{up}\nb,down,{down}\n")
    return folder / "s.yaml", folder / "s.csv"


def test_the_command(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows 3 to 11 of each key are judged; 30 and 50 are high, 1 and 2 low (and 10 after 30, where the mean is 16.7, is neither)."""
    pipeline, source = stream(tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    done = offbeat("compare", pipeline, source, "--labels", tmp_path / "l.csv", "--tolerance", "0s", "--json")
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    told = json.loads(done.out)
    high, low, vote = told["detectors"]
    assert [told["pipelines"][0][part] for part in ("rows_in", "scored", "warming_up")] == [24, 18, 6]
    assert (high["name"], high["rows"], high["judged"], high["votes"], high["without_verdict"]) == ("high", 24, 18, 4, 0.25)
    assert (low["votes"], vote["votes"], vote["type"]) == (4, 8, "vote")
    assert high["labels"]["kinds"]["up"]["recall"] == 1
    assert high["labels"]["kinds"]["down"]["recall"] == 0
    assert (vote["labels"]["precision"], vote["labels"]["false_alarms"]) == (0.25, 6)
    assert told["labels"]["tolerance"] == "0s"
    assert [pair["both"] for pair in told["agreement"]] == [0, 4, 4]
    tables = offbeat("compare", pipeline, source, "--labels", tmp_path / "l.csv", "--detectors", "high,low", "--plot", tmp_path / "p.html")
    assert tables.code == 0, tables.err
    assert "│ vote" not in tables.out
    assert "down (1)" in tables.out
    page = (tmp_path / "p.html").read_text()
    assert "<script" not in page
    assert len(page) < 60_000
    assert "high: 4 votes on 18 rows" in page
    assert list((tmp_path / "empty").iterdir()) == []


def test_scores_of_all_rows(offbeat: Command, tmp_path: Path) -> None:
    """By hand: r of a rule `a > b` is a / b, and its score r / (1 + r); the first three rows of a key have no window of three."""
    (tmp_path / "p.yaml").write_text(STREAM)
    rows = [("a", 0, 2), ("a", 1, 2), ("a", 1, 2), ("a", 2, 12), ("b", 2, 1)]
    (tmp_path / "s.csv").write_text("k,t,v\n" + "".join(f"{k},2024-01-01T00:00:{t:02}Z,{v}\n" for k, t, v in rows))
    out = tmp_path / "scores.parquet"
    words = ("compare", tmp_path / "p.yaml", tmp_path / "s.csv", "--set", "v.windows.w.min_rows=3", "--scores", out)
    done = offbeat(*words)
    assert done.code == 0, done.err
    assert f"scores: {out}" in done.out
    assert json.loads(offbeat(*words, "--json").out)["scores"] == str(out)
    found = pl.read_parquet(out).cast({"detector": pl.String, "key": pl.String})
    begin = 1_704_067_200 * SECOND
    places = [(k, begin + t * SECOND) for k, t, _ in rows]
    for name, last, voted in (("high", 3 / 4, True), ("low", 1 / 13, False), ("vote", 3 / 4, True)):
        own = found.filter(pl.col("detector") == name)
        assert list(zip(own["key"], own["time"].cast(pl.Int64), strict=True)) == places
        assert own["n"].to_list() == [1, 1, 2, 1, 1]
        assert own["score"].to_list() == [None, None, None, pytest.approx(last), None]
        assert own["voted"].to_list() == [False, False, False, voted, False]
    assert found.height == 3 * len(rows)
    assert "ends with .parquet" in offbeat.refused(*words[:-1], tmp_path / "scores.csv")
    (tmp_path / "folder.parquet").mkdir()
    assert "it is a folder" in offbeat.refused(*words[:-1], tmp_path / "folder.parquet")


def test_two_pipelines_and_one_changed(offbeat: Command, tmp_path: Path) -> None:
    pipeline, source = stream(tmp_path)
    other = tmp_path / "o.yaml"
    other.write_text(STREAM.replace("name: stream", "name: other\nquality: {rules: {small: v < 40}}"))
    words = ("--with", pipeline, "--with", other, "--set", "v.high.when=v > 4 * m", "--detectors", "high", "--json")
    told = json.loads(offbeat("compare", pipeline, source, *words).out)
    votes = {one["name"]: (one["votes"], one["judged"]) for one in told["detectors"]}
    assert votes == {"stream.high": (2, 18), "stream#2.high": (4, 18), "other.high": (2, 16)}
    rows = {(pair["a"], pair["b"]): (pair["rows"], pair["both"]) for pair in told["agreement"]}
    assert rows[("stream#2.high", "other.high")] == (16, 2)
    assert [one["rows_in"] for one in told["pipelines"]] == [24, 24, 24]


def test_views_on_another_key(offbeat: Command) -> None:
    if not (DATA / "bars").is_dir():
        pytest.skip("needs ../shared/data/bars")
    example = ROOT / "examples" / "market_minute.yaml"
    told = json.loads(offbeat("compare", example, DATA / "bars", "--json").out)
    windows = {name: view["windows"] for name, view in told["pipelines"][0]["views"].items()}
    assert {one["name"].split(".")[0] for one in told["detectors"]} == {"market", "sector"}
    assert all(one["rows"] == windows[one["name"].split(".")[0]] > 0 for one in told["detectors"])


def test_help_has_examples(offbeat: Command) -> None:
    done = offbeat("compare", "--help")
    assert done.code == 0
    assert "offbeat compare trades" in done.out.split("Examples:")[1]


@pytest.mark.heavy
def test_standard_input(tmp_path: Path) -> None:
    pipeline, source = stream(tmp_path)
    rows = [json.dumps({"k": k, "t": t, "v": float(v)}) for k, t, v in (line.split(",") for line in source.read_text().splitlines()[1:])]
    running = process("compare", pipeline, "-", "--json", stdin=subprocess.PIPE)
    out, err = running.communicate("\n".join(rows) + "\n", timeout=60)
    assert running.returncode == 0, err
    assert [one["votes"] for one in json.loads(out)["detectors"]] == [4, 4, 8]


def test_refusals(offbeat: Command, tmp_path: Path) -> None:
    pipeline, source = stream(tmp_path)
    offbeat("compare", pipeline, source)  # so that nothing has to be said of compiling
    labels = tmp_path / "w.csv"
    assert "did you mean 'high'?" in offbeat.refused("compare", pipeline, source, "--detectors", "low,hihg")
    assert "no source" in offbeat.refused("compare", pipeline)
    assert "write it to a file" in offbeat.refused("compare", pipeline, "-", "--with", pipeline)
    assert "needs --labels" in offbeat.refused("compare", pipeline, source, "--tolerance", "5s")
    assert "--tolerance: 'soon'" in offbeat.refused("compare", pipeline, source, "--tolerance", "soon", "--labels", tmp_path / "l.csv")
    assert "does not exist" in offbeat.refused("compare", pipeline, source, "--labels", tmp_path / "no.csv")
    assert "it is a folder" in offbeat.refused("compare", pipeline, source, "--plot", tmp_path)
    assert "no.yaml: no such pipeline" in offbeat.refused("compare", pipeline, source, "--with", tmp_path / "no.yaml")
    for row, why in [
        ("z,x,2024-01-01T00:00:03Z,2024-01-01T00:00:03Z", "none of its keys (z) is among the keys of the rows (a, b)"),
        ("a,x,2025-01-01T00:00:03Z,2025-01-01T00:00:03Z", "lie outside the times of the rows (2024-01-01 00:00:00 to 2024-01-01 00:00:11"),
    ]:
        labels.write_text(f"key,kind,from,to\n{row}\n")
        assert why in offbeat.refused("compare", pipeline, source, "--labels", labels)
    labels.write_text("key,kind,from,to\n")
    assert offbeat.refused("compare", pipeline, source, "--labels", labels).startswith(f"{labels}: ")


def test_labels_of_which_some_fit(offbeat: Command, tmp_path: Path) -> None:
    pipeline, source = stream(tmp_path)
    labels = tmp_path / "w.csv"
    labels.write_text("key,kind,from,to\na,x,2024-01-01T00:00:03Z,2024-01-01T00:00:03Z\nz,x,2024-01-01T00:00:03Z,2024-01-01T00:00:03Z\n")
    told = json.loads(offbeat("compare", pipeline, source, "--labels", labels, "--json").out)
    assert told["notes"] == ["1 of 2 labels skipped: of keys that have no rows"]
    assert told["detectors"][0]["labels"]["events"] == 1


def masked(text: str) -> list[str]:
    """Lines without frames and figures: what models find changes with them, the page is about what is shown."""
    lines = (" ".join(re.sub(r"[─-╿]+", " ", re.sub(r"[\d.,]+", "#", line)).split()) for line in text.splitlines())
    return [line for line in lines if line]


def test_the_page_shows_what_the_commands_print(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "compare.md").read_text()
    shown = re.findall(r"^```\n\$ offbeat ([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [command.split()[0] for command, _ in shown] == ["generate", "compare", "compare"]
    for command, expected in shown:
        done = offbeat(*command.split())
        assert done.code == 0, done.err
        if expected:
            assert masked(done.out) == masked(expected)
    label = re.findall(r"^```csv\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    Path("mine.csv").write_text(label[0])
    assert read_labels("mine.csv").events["kind"].to_list() == ["halt"]


def test_the_benchmarks_table(tmp_path: Path) -> None:
    """A line a detector, the ensemble's vote among them and the others' not; its counts are those of the seeds together."""
    found = planted(Setting(rows=20_000, symbols=1, every=2_000, seeds=2), tmp_path)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(found).splitlines()]
    names = ["detector", "---", "forest", "covariance", "zscore", "**two of three**", *ALTERNATIVES]
    assert [line[0].rstrip(":") for line in lines] == names
    votes, judged = (sum(getattr(comparison.flags[0], field) for comparison in found) for field in ("votes", "judged"))
    assert lines[2][1] == f"{100 * votes / judged:.2f} %"
    worths = [comparison.labelled.worth[0] for comparison in found if comparison.labelled is not None]
    overall = [worth.alerts.overall for worth in worths if worth is not None]
    assert lines[2][3] == f"{sum(o.found for o in overall) / sum(o.events for o in overall):.3f}"
    assert len({len(line) for line in lines}) == 1
