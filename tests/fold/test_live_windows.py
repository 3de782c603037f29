"""Windows of a live source: alerts while they are open, closed as time goes on, and in the end the alerts of a bounded run [S3, S22]."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import polars as pl
import pytest

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.chunk import Chunk, Position
from offbeat.core.plan import Plan
from offbeat.engines.local import LocalEngine
from offbeat.engines.run_result import Progress, Run
from offbeat.evaluate.generate_cdr import generate_cdr
from offbeat.io.read.alert_files import latest, read_alerts
from offbeat.io.read.file_source import FileSource
from offbeat.spec.load import load_plan, load_text

DAY_ZERO = datetime(2024, 3, 4, tzinfo=UTC)
PIPELINE = """\
name: calls
source:
  key: who
  time: {column: at, zone: UTC}
  columns: {id: {type: decimal, scale: 0}, mb: {type: decimal, scale: 2, required: false}, place: {type: text, required: false}}
quality:
  rules: {volume: mb >= 0}
  unique: [time, id]
views:
  day:
    rollup:
      key: who
      size: 1d
      columns: {n: count(*), total: sum(mb), top: max(mb), some: count(mb)}
    windows:
      past: {over: all, lag: 1d, min_rows: 3, features: {usual: mean(total), spread: std(total)}}
    detectors:
      much: {type: zscore, early: true, limits: {total: 2}, baseline: {total: {mean: usual, std: spread}}}
      many: {type: rule, early: true, when: n > 10}
      peak: {type: rule, when: top * some > 3 * total AND n <= 10}
  place_hour:
    rollup: {key: place, size: 1h, fill: none, columns: {total: sum(mb), rows: count(*)}}
    windows:
      same_hour: {over: 5d, season: 1d, min_rows: 2, features: {usual_mb: mean(total)}}
    detectors:
      upper: {type: rule, early: true, when: total > 2 * usual_mb}
      lower: {type: rule, when: total < 0.2 * usual_mb}
      unlike: {type: zscore, early: true, over: 20 rows, min_values: 10, limits: {total: 3}}
"""


def plan_of(*changes: tuple[str, str]) -> Plan:
    text = PIPELINE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load_text(text, "calls.yaml").plan


Call = tuple[datetime, str, int, str]
"""Time, caller, hundredths of a megabyte, place."""


def calls(seed: int, callers: int = 6, days: int = 9) -> list[Call]:
    """Some calls a day and caller, sometimes many or large, in order of time."""
    chance = random.Random(seed)
    found: list[Call] = []
    for day in range(days):
        for who in range(callers):
            count = 0 if chance.random() < 0.1 else chance.choice((3, 5, 6, 8, 8, 16))
            scale = chance.choice((1, 1, 1, 1, 6))
            for _ in range(count):
                moment = DAY_ZERO + timedelta(days=day, seconds=chance.randrange(8 * 3600, 20 * 3600))
                found.append((moment, f"c{who}", scale * chance.randrange(100, 300), f"p{chance.randrange(2)}"))
    return sorted(found)


def written(path: Path, rows: list[Call]) -> Path:
    lines = [f"{who},{at:%Y-%m-%dT%H:%M:%S}Z,{number},{mb / 100},{place}" for number, (at, who, mb, place) in enumerate(rows)]
    path.write_text("\n".join(["who,at,id,mb,place", *lines]) + "\n")
    return path


class Pieces:
    """A file's rows as a live source hands them over: in chunks of these sizes, over and over."""

    def __init__(self, plan: Plan, path: Path, sizes: list[int], begin: int = 0, end: int | None = None, *, broken: bool = False) -> None:
        self._inner, self._sizes, self.begin, self._end, self._broken = FileSource(plan.source, [str(path)]), sizes, begin, end, broken
        self.files, self.headers, self.notes = self._inner.files, self._inner.headers, self._inner.notes
        self.live = True

    def size_bytes(self) -> None:
        return None

    def done_bytes(self) -> int:
        return 0

    def close(self) -> None:
        self._inner.close()

    def chunks(self, _: Position | None) -> Iterator[Chunk]:
        sizes, done = cycle(self._sizes), 0
        for whole in self._inner.chunks(None):
            at, end = max(self.begin - done, 0), min((self._end or 2**31) - done, whole.frame.height)
            while at < end:
                until = min(at + next(sizes), end)
                yield _part(whole, at, until)
                at = until
            done += whole.frame.height
        if self._broken:
            raise RuntimeError("killed")


def _part(chunk: Chunk, begin: int, end: int) -> Chunk:
    def raw(index: I64) -> list[str]:
        return chunk.raw(index + begin)

    assert chunk.keys is not None
    return replace(
        chunk,
        frame=chunk.frame[begin:end],
        keys=chunk.keys[begin:end],
        time_ns=chunk.time_ns[begin:end].copy(),
        faults=chunk.faults[begin:end],
        first_row=chunk.first_row + begin,
        rows=None if chunk.rows is None else chunk.rows[begin:end],
        raw=raw,
        floor_ns=NULL_INT,
    )


def bounded(plan: Plan, path: Path, out: Path) -> pl.DataFrame:
    LocalEngine(plan, FileSource(plan.source, [str(path)]), alerts=[str(out)]).run()
    return read_alerts(str(out))


def live(plan: Plan, source: Pieces, out: Path, state: Path | None = None, *, ends: bool = True) -> Run:
    return LocalEngine(plan, source, alerts=[str(out)], state=state, live=True, ends=ends).run()


def firings(early: pl.DataFrame) -> list[tuple[str, str]]:
    """(alert, detector) of each vote that an early alert adds to those before it."""
    found: list[tuple[str, str]] = []
    known: set[tuple[str, str]] = set()
    for alert in early.sort("revision").to_dicts():
        new = {(alert["alert_id"], d["name"]) for d in alert["detectors"] if d["voted"]} - known
        assert new, "nothing new was said"
        found += sorted(new)
        known |= new
    return found


def standing(alerts: pl.DataFrame) -> list[dict[str, Any]]:
    """What a reader keeps in the end, whole."""
    kept = latest(alerts).filter(pl.col("status") != "retracted")
    return kept.sort("view", "key", "time").to_dicts()


@pytest.mark.heavy
@pytest.mark.parametrize(("seed", "sizes"), [(1, [1]), (2, [7, 1, 40]), (3, [120]), (5, [2, 90])])
def test_in_the_end_it_is_the_bounded_run(tmp_path: Path, seed: int, sizes: list[int]) -> None:
    """Whatever arrived together: the same alerts to the last digit, each final once, the same ledger; and some came early, none twice."""
    plan, path = plan_of(), written(tmp_path / "rows.csv", calls(seed))
    whole = bounded(plan, path, tmp_path / "bounded.jsonl")
    run = live(plan, Pieces(plan, path, sizes), tmp_path / "live.jsonl")
    said = read_alerts(str(tmp_path / "live.jsonl"))
    assert standing(said) == standing(whole)
    assert set(whole["status"]) == {"final"}
    final = said.filter(pl.col("status") == "final")
    assert final["alert_id"].n_unique() == final.height == whole.height
    early = said.filter(pl.col("status") == "early")
    assert len(firings(early)) > 5
    assert not said.select("alert_id", "revision", "status").is_duplicated().any()
    assert run.ledger.accounted() == run.ledger.rows_in
    assert run.ledger.pending == 0
    voted = {d["name"] for alert in early["detectors"] for d in alert if d["voted"]}
    assert voted == {"much", "many", "upper", "unlike"}
    ends = said.filter(pl.col("alert_id").is_in(early["alert_id"].implode()) & (pl.col("status") != "early"))
    assert ends["alert_id"].n_unique() == early["alert_id"].n_unique(), "each early alert is settled in the end"


def _crossings(rows: list[Call]) -> dict[tuple[str, int], list[tuple[int, set[str]]]]:
    """(caller, day) → calls of that day so far whenever it first crossed a limit, and all crossed so far; from the definition alone."""
    totals: dict[tuple[str, int], list[int]] = {}
    for at, who, mb, _ in rows:
        totals.setdefault((who, (at - DAY_ZERO).days), []).append(mb)
    found: dict[tuple[str, int], list[tuple[int, set[str]]]] = {}
    for (who, day), volumes in totals.items():
        past = [sum(v) / 100 for (other, d), v in totals.items() if other == who and d < day - 1]
        for n in range(1, len(volumes) + 1):
            crossed = {"many"} if n > 10 else set()
            if len(past) >= 3 and sum(volumes[:n]) / 100 - mean(past) > 2 * stdev(past):
                crossed.add("much")
            if crossed - (found.get((who, day)) or [(0, set())])[-1][1]:
                found.setdefault((who, day), []).append((n, crossed))
    return found


@pytest.mark.heavy
@pytest.mark.parametrize(("seed", "sizes"), [(11, [1]), (31, [1000]), (31, [13, 2])])
def test_early_is_at_the_row_that_crosses(tmp_path: Path, seed: int, sizes: list[int]) -> None:
    """An alert for each limit that a day crosses, at the row that does it, however many rows came together."""
    rows = calls(seed, callers=5)
    plan, path = plan_of(), written(tmp_path / "rows.csv", rows)
    live(plan, Pieces(plan, path, sizes), tmp_path / "live.jsonl")
    said = read_alerts(str(tmp_path / "live.jsonl"))
    early = said.filter((pl.col("status") == "early") & (pl.col("view") == "day"))
    got: dict[tuple[str, int], list[tuple[int, set[str]]]] = {}
    for alert in early.sort("revision").to_dicts():
        day = alert["key"], (alert["time"] - DAY_ZERO).days
        got.setdefault(day, []).append((int(alert["row"]["n"]), {d["name"] for d in alert["detectors"] if d["voted"]}))
    expected = _crossings(rows)
    assert got == expected
    assert {name for crossings in expected.values() for _, names in crossings for name in names} == {"much", "many"}
    assert max(map(len, expected.values())) == 2, "some day crosses one limit after the other"


def test_one_day_by_hand(tmp_path: Path) -> None:
    """Four days of 2 calls, then 3, of 1 MB: nothing has a spread. Eleven calls on a day cross `n > 10` at the eleventh."""
    rows = [(DAY_ZERO + timedelta(days=day, hours=9, minutes=i), "a", 100, "p") for day in range(2) for i in range(2)]
    rows += [(DAY_ZERO + timedelta(days=2, hours=9, minutes=i), "a", 100, "p") for i in range(13)]
    plan, path = plan_of(), written(tmp_path / "rows.csv", rows)
    live(plan, Pieces(plan, path, [1]), tmp_path / "live.jsonl")
    said = read_alerts(str(tmp_path / "live.jsonl")).filter(pl.col("view") == "day")
    # The day before is still open: of the 17 rows in all, 4 are of earlier days.
    assert said.select("status", pl.col("row").struct.field("n")).rows() == [("early", 11.0), ("final", 13.0)]
    assert said["revision"][1] == 17
    assert said["revision"][0] <= 15
    notes = {d["name"]: (d["voted"], d["score"], d["note"]) for d in said["detectors"][0]}
    assert notes["many"] == (True, pytest.approx(1.1 / 2.1), None)
    assert notes["peak"] == (False, None, "no verdict: judges when the window is over")
    assert notes["much"] == (False, None, None)


def _filler(days: range) -> list[Call]:
    """Somebody elsewhere, so that time goes on."""
    return [(DAY_ZERO + timedelta(days=day, hours=4, minutes=i), "f", 100, "q") for day in days for i in range(10)]


def test_windows_close_as_time_goes_on(tmp_path: Path) -> None:
    """A day closes when the median of the last 15 calls lies 2.4 h into the next."""
    rows = sorted([*_filler(range(4)), *[(DAY_ZERO + timedelta(hours=13, minutes=i), "a", 100, "p") for i in range(11)]])
    plan, path = plan_of(), written(tmp_path / "rows.csv", rows)
    # Of day 0 there are 21 calls; with the eighth of day 1 those are the majority of the last 15.
    for end, statuses in ((21 + 7, ["early"]), (21 + 8, ["early", "provisional"])):
        out = tmp_path / f"{end}.jsonl"
        engine = LocalEngine(plan, Pieces(plan, path, [1], end=end, broken=True), alerts=[str(out)], live=True)
        with pytest.raises(RuntimeError, match="killed"):
            engine.run()
        assert read_alerts(str(out)).filter(pl.col("view") == "day")["status"].to_list() == statuses


def test_withdrawn_when_the_past_turns_out_otherwise(tmp_path: Path) -> None:
    """Place p at 10 h: 1 MB on two days, then 3 MB, twice the mean of 1. Then b delivers 5 MB for each of the two days: the mean is 6."""
    at = [DAY_ZERO + timedelta(days=day, hours=10) for day in range(7)]
    first = sorted([(at[0], "a", 100, "p"), (at[1], "a", 100, "p"), (at[2], "a", 300, "p"), *_filler(range(3))])
    more = [(at[2] + timedelta(minutes=1), "a", 1, "p")]
    late: list[Call] = [(at[0], "b", 500, "p"), (at[1], "b", 500, "p"), (at[1], "b", 0, "q")]
    plan, path = plan_of(), written(tmp_path / "rows.csv", [*first, *more, *late, *_filler(range(3, 6))])
    live(plan, Pieces(plan, path, [1]), tmp_path / "live.jsonl")
    said = read_alerts(str(tmp_path / "live.jsonl"))
    here = said.filter((pl.col("view") == "place_hour") & (pl.col("key") == "p"))
    early, provisional = (at[2], "early", 3.0), (at[2], "retracted", 3.01)
    assert here.select("time", "status", pl.col("row").struct.field("total")).rows() == [early, provisional]
    assert standing(said) == standing(bounded(plan, path, tmp_path / "bounded.jsonl"))


def test_a_live_run_without_a_state_keeps_no_old_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On each of nine days a late call opens the windows of the first one again: of what they were before nothing stays on the disk."""
    late: list[Call] = [(DAY_ZERO + timedelta(hours=10, minutes=day), "b", 100, "p") for day in range(9)]
    rows = [call for day in range(9) for call in (*_filler(range(day, day + 1)), late[day])]
    plan, path = plan_of(), written(tmp_path / "rows.csv", rows)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    versions = Counter[int]()

    def count(_: Progress) -> None:
        names = [file.name.partition("+")[0].removesuffix(".windows") for file in tmp_path.glob("offbeat-*/*.windows")]
        versions[max(Counter(names).values(), default=0)] += 1

    LocalEngine(plan, Pieces(plan, path, [1]), live=True).run(count)
    assert versions[2] > 5, "those of the batch before stay until it is committed"
    assert max(versions) == 2


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [11, 12])
def test_killed_and_started_again(tmp_path: Path, seed: int) -> None:
    """With `--state`: one early alert a window, and in the end what a bounded run says, wherever it was killed."""
    plan, path = plan_of(), written(tmp_path / "rows.csv", calls(seed))
    whole = standing(bounded(plan, path, tmp_path / "bounded.jsonl"))
    chance = random.Random(seed)
    total = len(path.read_text().splitlines()) - 1
    cuts = sorted(chance.sample(range(1, total), 6))
    out, state = tmp_path / "live.jsonl", tmp_path / "state"
    for end in [*cuts, None]:
        source = Pieces(plan, path, [3, 1, 11], end=end, broken=end is not None)
        engine = LocalEngine(plan, source, alerts=[str(out)], state=state, live=True, ends=end is None)
        source.begin = engine.result.ledger.rows_in  # what was not saved is sent again
        if end is not None:
            with pytest.raises(RuntimeError, match="killed"):
                engine.run()
    run = engine.run()
    said = read_alerts(str(out))
    assert len(firings(said.filter(pl.col("status") == "early"))) > 5
    assert said.filter(pl.col("status") == "final")["alert_id"].is_unique().all()
    assert standing(said) == whole
    assert run.ledger.rows_in == total


def test_a_feed_that_ends_and_goes_on(tmp_path: Path) -> None:
    """With a state the end of a feed is a pause: what is held back waits. When the feed is said to end, all windows are judged."""
    rows = [(DAY_ZERO + timedelta(hours=9, minutes=i), "a", 100, "p") for i in range(14)]
    plan, path = plan_of(), written(tmp_path / "rows.csv", rows)
    out, state = tmp_path / "live.jsonl", tmp_path / "state"
    ledgers = []
    for begin, end, ends in ((0, 12, None), (12, 14, None), (14, 14, True)):
        source = Pieces(plan, path, [1], begin, end)
        ledgers.append(LocalEngine(plan, source, alerts=[str(out)], state=state, live=True, ends=ends).run().ledger)
    said = read_alerts(str(out)).filter(pl.col("view") == "day")
    assert said.select("status", "revision").rows() == [("early", 11), ("final", 14)]
    assert [(ledger.rows_in, ledger.pending) for ledger in ledgers] == [(12, 12), (14, 14), (14, 0)]


@pytest.mark.heavy
def test_call_records_whole(tmp_path: Path) -> None:
    """The shipped pipeline with all its detectors, the forest over all customers and absence among them, on made records."""
    records = tmp_path / "records"
    generate_cdr(records, rows=40_000, days=34, customers=150, seed=3)
    busiest = pl.read_parquet(records)["customer_id"].value_counts(sort=True)["customer_id"][0]
    for day in sorted(records.glob("*/*.parquet"))[24:]:  # one falls silent
        pl.read_parquet(day, hive_partitioning=False).filter(pl.col("customer_id") != busiest).write_parquet(day)
    plan = load_plan("cdr", ["customer_day.forest.train_min=200", "customer_day.night_owls.when=night > 1"])
    whole = bounded(plan, records, tmp_path / "bounded.jsonl")
    run = live(plan, Pieces(plan, records, [997, 1, 2503]), tmp_path / "live.jsonl")
    said = read_alerts(str(tmp_path / "live.jsonl"))
    assert standing(said) == standing(whole)
    voted = {d["name"] for alert in said.filter(pl.col("status") != "early")["detectors"] for d in alert if d["voted"]}
    assert voted >= {"zscore", "zscore_all", "night_owls", "spike_ratio", "forest", "absence", "upper"}
    early = {d["name"] for alert in said.filter(pl.col("status") == "early")["detectors"] for d in alert if d["voted"]}
    assert early == {"zscore", "zscore_all", "night_owls", "upper"}
    assert run.ledger.pending == 0
