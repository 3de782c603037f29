"""Episodes: a flapping condition by hand, late and retracted alerts, and the laws against an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle_episodes import STATUSES, Alert, Episode, episodes

from offbeat.core.episode_plan import EpisodePlan, EpisodeView, InhibitPlan, MutePlan, Selection
from offbeat.core.state import Arrays
from offbeat.fold.episode_alerts import AlertFacts
from offbeat.fold.episodes import EpisodeFold
from offbeat.fold.mutes import Mutes
from offbeat.io.write.episode_table import episode_table

QUIET = 10


def plan(opens: float = 0.6, holds: float = 0.3, **more: Any) -> EpisodePlan:
    row = EpisodeView("v", "key", QUIET, opens, holds, ("d", "e"))
    market = EpisodeView("m", "constant", QUIET, opens, holds, ("d",))
    return EpisodePlan("p", (row, market), **more)


def identity(name: str) -> np.ndarray:
    return np.frombuffer(name.encode().ljust(16, b"\0"), np.uint8)


def put(fold: EpisodeFold, alerts: Sequence[Alert], view: int = 0) -> None:
    """Alerts, as a run would hand them over."""
    n = len(alerts)
    if not n:
        return
    texts = fold._reader.texts
    fold._put(
        AlertFacts(
            ids=np.array([identity(a.id) for a in alerts]).reshape(n, 16),
            revision=np.array([a.revision for a in alerts]),
            status=np.array([STATUSES.index(a.status) for a in alerts], np.int8),
            view=np.full(n, view, np.int16),
            key=texts.of(pl.Series([a.group for a in alerts])),
            level=texts.of(pl.Series(["high" if a.severity > 0.5 else "low" for a in alerts])),
            value=np.full(n, -1, np.int32),
            time_ns=np.array([a.time for a in alerts], np.int64),
            severity=np.array([a.severity for a in alerts]),
            voted=np.array([1 + 2 * (a.severity > 0.5) for a in alerts], np.int64),
        )
    )


def name_of(alert_id: str) -> str:
    return bytes.fromhex(alert_id).rstrip(b"\0").decode()


def found(fold: EpisodeFold) -> list[dict[str, Any]]:
    table = pl.DataFrame(episode_table(fold.episodes()))
    rows = table.with_columns(pl.col("start", "end", "closes").to_physical()).to_dicts()
    for row in rows:
        row["alert_ids"] = [name_of(one) for one in row["alert_ids"]]
    return rows


def of(alerts: Sequence[Alert], **settings: Any) -> list[dict[str, Any]]:
    fold = EpisodeFold(plan(**settings))
    put(fold, alerts)
    return found(fold)


def by_hand(*times: tuple[int, float]) -> list[Alert]:
    return [Alert(f"a{time:03d}", time, severity) for time, severity in times]


FLAPPING = by_hand((0, 0.4), (5, 0.7), (12, 0.35), (20, 0.2), (22, 0.65), (33, 0.5), (40, 0.9), (51, 0.1), (60, 0.8))
"""0: below 0.6, opens nothing. 5 opens. 12 holds (0.3) to 22. 20 is of it and does not hold. 22 holds to 32. 33 comes after that and
does not open. 40 opens the second. 51 lies past 50, and is too weak. 60 opens the third."""


def test_a_flapping_condition_by_hand() -> None:
    first, second, third = of(FLAPPING)
    assert [first["alert_ids"], second["alert_ids"], third["alert_ids"]] == [["a005", "a012", "a020", "a022"], ["a040"], ["a060"]]
    assert [row["severity"] for row in (first, second, third)] == [0.7, 0.9, 0.8]
    assert [row["status"] for row in (first, second, third)] == ["closed", "closed", "open"]
    assert [row["closes"] for row in (first, second, third)] == [32, 50, 70]
    # Without hysteresis the same alerts are four episodes.
    plain = of(FLAPPING, opens=0.6, holds=0.6)
    assert [row["alert_ids"] for row in plain] == [["a005", "a012"], ["a022"], ["a040"], ["a060"]]


def test_what_an_episode_tells() -> None:
    (row,) = of(by_hand((0, 0.7), (3, 0.4), (6, 0.9), (9, 0.8), (9_000, 0.1)))
    assert (row["keys"], row["views"], row["group"], row["alerts"], row["level"]) == (["k"], ["v"], "k", 4, "high")
    assert name_of(row["worst"]) == "a006"
    assert [(step["severity"], name_of(step["alert_id"])) for step in row["history"]] == [(0.7, "a000"), (0.9, "a006")]
    assert row["detectors"] == [{"view": "v", "name": "d", "alerts": 4}, {"view": "v", "name": "e", "alerts": 3}]
    assert (row["muted"], row["inhibited_by"]) == (None, None)


def test_a_late_alert_merges_two_episodes() -> None:
    early, late = by_hand((0, 0.7), (5, 0.7)), by_hand((20, 0.8), (24, 0.7))
    before, after = of([*early, *late])
    (merged,) = of([*early, *late, *by_hand((13, 0.4))])
    assert merged["episode_id"] == before["episode_id"] != after["episode_id"], "that of its first alert"
    assert (before["revision"], after["revision"], merged["revision"]) == (2, 2, 5)
    assert merged["severity"] == 0.8
    # One before the first gives the episode another name: its alerts are the same.
    (renamed,) = of([*early, *by_hand((-3, 0.6))])
    assert renamed["episode_id"] != before["episode_id"]
    assert renamed["alert_ids"] == ["a-03", "a000", "a005"]


def test_a_retracted_alert_is_of_no_episode_and_its_revision_still_counts() -> None:
    alerts = by_hand((0, 0.7), (8, 0.7), (16, 0.7))
    (before,) = of(alerts)
    one, two = of([*alerts, replace(alerts[1], revision=4, status="retracted")])
    assert [one["alert_ids"], two["alert_ids"]] == [["a000"], ["a016"]]
    assert (before["revision"], one["revision"], two["revision"]) == (3, 6, 6)


def test_mutes_by_key_view_and_time() -> None:
    alerts = [Alert("a", 0, 0.7, "SIM-1"), Alert("b", 5, 0.7, "SIM-1"), Alert("c", 0, 0.7, "S[1]"), Alert("d", 0, 0.7, "12345.0")]
    mutes = (
        MutePlan("SIM-*", "v", "test SIMs", None, 5),
        MutePlan("S[1]", "", "brackets", None, None),
        MutePlan("12345", "", "a number", None, None),
        MutePlan("*", "m", "another view", None, None),
        MutePlan("SIN-*", "", "misspelt", None, None),
    )
    fold = EpisodeFold(plan(mutes=mutes))
    put(fold, alerts)
    told = {tuple(row["alert_ids"]): row["muted"] for row in found(fold)}
    assert told == {("a",): "test SIMs", ("b",): None, ("c",): "brackets", ("d",): "a number"}
    assert fold.episodes().counts() | {"open": 0} == {
        "episodes": 1, "open": 0, "inhibited": 0, "muted": 3, "alerts_muted": 3, "alerts_below": 0,
    }  # fmt: skip
    assert Mutes(mutes).unmatched(["SIM-1", "S[1]", "12345.0"]) == ["no key fits the mute 'SIN-*': keys are like 'SIM-1', 'S[1]'"]


def test_an_episode_of_the_market_inhibits_those_of_symbols_that_are_open_with_it() -> None:
    rule = InhibitPlan(Selection(views=("m",)), Selection(views=("v",)))
    fold = EpisodeFold(plan(inhibit=(rule,)))
    put(fold, [Alert("m", 20, 0.9, "market")], view=1)  # open from 20 to 30
    put(fold, [Alert("before", 9, 0.9, "A"), Alert("into", 10, 0.9, "B"), Alert("in", 25, 0.9, "C"), Alert("at the end", 30, 0.9, "D")])
    put(fold, [Alert("after", 31, 0.9, "E")])
    told = {row["alert_ids"][0]: row["inhibited_by"] for row in found(fold)}
    market = next(row["episode_id"] for row in found(fold) if row["alert_ids"] == ["m"])
    assert told == {"m": None, "before": None, "into": market, "in": market, "at the end": market, "after": None}
    assert fold.episodes().counts()["inhibited"] == 3


@pytest.mark.parametrize(
    ("settings", "groups"),
    [
        ({}, {("A", ("a",)), ("B", ("b",)), ("market", ("m",))}),
        ({"group": "all"}, {("all", ("a", "b", "m"))}),
        ({"group": "mapping", "mapping": (("A", "IT"), ("B", "IT"))}, {("IT", ("a", "b")), ("market", ("m",))}),
    ],
)
def test_groups(settings: dict[str, Any], groups: set[Any]) -> None:
    fold = EpisodeFold(plan(**settings))
    put(fold, [Alert("a", 0, 0.7, "A"), Alert("b", 3, 0.7, "B")])
    put(fold, [Alert("m", 6, 0.7, "market")], view=1)
    assert {(row["group"], tuple(row["alert_ids"])) for row in found(fold)} == groups


alerts = st.builds(
    Alert,
    id=st.sampled_from([f"a{i}" for i in range(14)]),
    time=st.integers(0, 90),
    severity=st.sampled_from([0.0, 0.29, 0.3, 0.5, 0.6, 0.9]),
    group=st.sampled_from(["k", "l"]),
    revision=st.integers(1, 3),
    status=st.sampled_from(STATUSES),
)


def streams() -> st.SearchStrategy[list[Alert]]:
    """Records of alerts: one id has one time and group, and one content for each (revision, status)."""

    def settled(records: list[Alert]) -> list[Alert]:
        first: dict[str, Alert] = {}
        content: dict[tuple[str, int, str], Alert] = {}
        for record in records:
            head = first.setdefault(record.id, record)
            placed = replace(record, time=head.time, group=head.group, muted=head.group == "l" and head.time >= 45)
            content.setdefault((record.id, record.revision, record.status), placed)
        return [content[record.id, record.revision, record.status] for record in records]

    return st.lists(alerts, max_size=25).map(settled)


MUTES = (MutePlan("l", "", "half of it", 45, None),)


def plain(rows: list[dict[str, Any]]) -> set[Any]:
    return {(row["group"], row["muted"] is not None, tuple(row["alert_ids"]), row["severity"], row["revision"]) for row in rows}


def expected(told: list[Episode]) -> set[Any]:
    return {(one.group, one.muted, tuple(one.ids), one.severity, one.revision) for one in told}


def restored(fold: EpisodeFold) -> EpisodeFold:
    arrays, document = fold.state()
    kept: Arrays = {name: array.copy() for name, array in arrays.items()}
    other = EpisodeFold(plan(mutes=MUTES))
    other.restore(kept, document)
    return other


@pytest.mark.heavy
@given(streams(), st.sampled_from([(0.6, 0.3), (0.6, 0.6), (0.0, 0.0)]))
def test_equals_the_oracle(records: list[Alert], levels: tuple[float, float]) -> None:
    opens, holds = levels
    assert plain(of(records, opens=opens, holds=holds, mutes=MUTES)) == expected(episodes(records, QUIET, opens, holds))


@given(streams(), st.lists(st.integers(0, 25)), st.randoms(use_true_random=False))
def test_neither_order_nor_batches_nor_shards_nor_restarts_matter(records: list[Alert], cuts: list[int], random: Any) -> None:
    """The laws: whole tables are compared, in their order."""
    whole = EpisodeFold(plan(mutes=MUTES))
    put(whole, records)
    shuffled = list(records)
    random.shuffle(shuffled)
    parts = EpisodeFold(plan(mutes=MUTES))
    bounds = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    for low, high in pairwise(bounds):
        put(parts, shuffled[low:high])
        if random.random() < 0.3:
            parts.episodes()  # a look changes nothing
        if random.random() < 0.3:
            parts = restored(parts)
    shards = [EpisodeFold(plan(mutes=MUTES)) for _ in range(2)]
    for record in records:
        put(shards[record.group == "l"], [record])
    assert found(parts) == found(whole)
    assert set().union(*(plain(found(shard)) for shard in shards)) == plain(found(whole))


@given(streams(), alerts)
def test_revisions_only_grow(records: list[Alert], late: Alert) -> None:
    """Whatever record comes later, an episode that has its name still has a greater revision, or the same and the same content."""
    after = [*records, replace(late, id="z", muted=late.group == "l" and late.time >= 45)]
    known = {row["episode_id"]: row for row in of(records, mutes=MUTES)}
    for row in of(after, mutes=MUTES):
        old = known.get(row["episode_id"])
        if old is not None and row["alert_ids"] != old["alert_ids"]:
            assert row["revision"] > old["revision"]
