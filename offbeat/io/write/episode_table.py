"""The episode as a record: one Arrow schema for every output, built by columns."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from offbeat.core.batch import I64
from offbeat.fold.episode_alerts import MOST_DETECTORS, id_words
from offbeat.fold.episodes import Episodes
from offbeat.io.write.arrow_arrays import (
    TIME,
    WORD,
    Array,
    constant,
    fields_of,
    floats,
    gathered,
    hex_ids,
    integers,
    lists,
    strings,
    structs,
    times,
    words,
)

_VOTES = pa.struct([pa.field("view", WORD), pa.field("name", WORD), pa.field("alerts", pa.int64())])
_RISE = pa.struct([pa.field("time", TIME), pa.field("severity", pa.float64()), pa.field("level", WORD), pa.field("alert_id", pa.string())])
_FIELDS: list[pa.Field[Any]] = [
    pa.field("episode_id", pa.string()),
    pa.field("revision", pa.int64()),
    pa.field("status", WORD),
    pa.field("pipeline", WORD),
    pa.field("group", pa.string()),
    pa.field("keys", pa.list_(WORD)),
    pa.field("views", pa.list_(WORD)),
    pa.field("start", TIME),
    pa.field("end", TIME),
    pa.field("closes", TIME),
    pa.field("severity", pa.float64()),
    pa.field("level", WORD),
    pa.field("alerts", pa.int64()),
    pa.field("worst", pa.string()),
    pa.field("detectors", pa.list_(_VOTES)),
    pa.field("history", pa.list_(_RISE)),
    pa.field("alert_ids", pa.list_(pa.string())),
    pa.field("muted", WORD),
    pa.field("inhibited_by", pa.string()),
]
SCHEMA = pa.schema(_FIELDS)


def episode_table(episodes: Episodes, places: I64 | None = None) -> pa.Table:
    """The episodes at `places` as records, in that order; by start, then id where none are given.

    Columns: episode_id, revision, status (open, closed), pipeline, group, keys, views, start and end (times of the first and the last
    alert), closes (when it ends if nothing more comes), severity and level of the worst alert, alerts (how many), worst (its alert_id),
    detectors (how many alerts each voted for), history (each alert that was worse than all before it), alert_ids, muted (the reason, or
    null), inhibited_by (an episode_id, or null).
    """
    at = np.arange(len(episodes)) if places is None else places
    own_ids = _ids(episodes, at)
    if places is None:
        high, low = id_words(own_ids)
        at = np.lexsort((low, high, episodes.start_ns))
        own_ids = own_ids[at]
    members, own = _members(episodes, at)
    n, plan, facts = len(at), episodes.plan, episodes.members.take(members)
    ids = hex_ids(facts.ids)
    worst = episodes.worst[at]
    reasons = [mute.reason for mute in plan.mutes]
    columns = [
        hex_ids(own_ids),
        integers(episodes.revision[at], pa.int64()),
        words(episodes.open[at].astype(np.int32), ("closed", "open")),
        constant(plan.pipeline, n),
        gathered(strings(episodes.groups.names), episodes.group[at].astype(np.int64)),
        _distinct(own, facts.key, list(episodes.texts), n),
        _distinct(own, facts.view, [view.name for view in plan.views], n),
        times(episodes.start_ns[at]),
        times(episodes.end_ns[at]),
        times(episodes.closes_ns[at]),
        floats(episodes.severity[at]),
        words(episodes.members.level[worst], list(episodes.texts)),
        integers(np.bincount(own, minlength=n), pa.int64()),
        hex_ids(episodes.members.ids[worst]),
        _votes(episodes, own, members, n),
        _history(episodes, own, members, ids, n),
        lists(_offsets(own, n), ids),
        words(episodes.mute[at], reasons),
        _causes(episodes, at),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def episode_ids(episodes: Episodes) -> list[str]:
    """(k,) ids."""
    return [row.tobytes().hex() for row in _ids(episodes, np.arange(len(episodes)))]


def _ids(episodes: Episodes, at: I64) -> npt.NDArray[np.uint8]:
    """(n, 16): BLAKE2b of pipeline, group and first alert."""
    out = np.empty((len(at), 16), np.uint8)
    first = episodes.offsets[:-1]
    for place, number in enumerate(at.tolist()):
        group = int(episodes.group[number])
        head = "\x1f".join((episodes.plan.pipeline, episodes.groups.spaces[group], episodes.groups.names[group]))
        alert = episodes.members.ids[first[number]].tobytes()
        out[place] = np.frombuffer(blake2b(head.encode() + b"\x1f" + alert, digest_size=16).digest(), np.uint8)
    return out


def _members(episodes: Episodes, at: I64) -> tuple[I64, I64]:
    """The members of the episodes at `at`, one after the other, and the number of the row that each is of."""
    counts = np.diff(episodes.offsets)[at]
    own = np.repeat(np.arange(len(at)), counts)
    before = np.cumsum(counts) - counts
    return np.repeat(episodes.offsets[at] - before, counts) + np.arange(int(counts.sum())), own


def _offsets(own: I64, n: int) -> I64:
    return np.searchsorted(own, np.arange(n + 1))


def _distinct(own: I64, codes: npt.NDArray[Any], texts: list[str], n: int) -> Array:
    """(n,) lists of the distinct texts of each row's alerts, sorted."""
    rank = np.argsort(np.argsort(np.array(texts, dtype=object))) if texts else np.zeros(0, np.int64)
    pairs = np.unique(own * max(len(texts), 1) + rank[codes]) if len(own) else np.zeros(0, np.int64)
    row, place = np.divmod(pairs, max(len(texts), 1))
    return lists(_offsets(row, n), words(place, sorted(texts)))


def _votes(episodes: Episodes, own: I64, members: I64, n: int) -> Array:
    """(n,) lists: how many alerts each detector voted for, in the order of the pipeline, those without a vote left out."""
    facts = episodes.members
    view, voted = facts.view[members], facts.voted[members]
    named = [(v, bit) for v, own_view in enumerate(episodes.plan.views) for bit in range(min(len(own_view.detectors), MOST_DETECTORS))]
    counts = np.zeros((n, len(named)), np.int64)
    for column, (v, bit) in enumerate(named):
        counts[:, column] = np.bincount(own[(view == v) & ((voted >> bit) & 1 == 1)], minlength=n)
    row, column_ = np.nonzero(counts)
    views = [episodes.plan.views[v].name for v, _ in named]
    names = [episodes.plan.views[v].detectors[bit] for v, bit in named]
    children = [_words(column_, views), _words(column_, names), integers(counts[row, column_], pa.int64())]
    return lists(_offsets(row, n), structs(children, fields_of(_VOTES)))


def _words(codes: I64, texts: list[str]) -> Array:
    distinct = sorted(set(texts))
    return words(np.array([distinct.index(text) for text in texts], np.int32)[codes], distinct)


def _history(episodes: Episodes, own: I64, members: I64, ids: Array, n: int) -> Array:
    """(n,) lists of the alerts that were worse than all before them."""
    severity = episodes.members.severity[members]
    frame = pl.DataFrame({"own": own, "severity": severity})
    rose = frame.select(pl.col("severity") > pl.col("severity").cum_max().shift(1).over("own")).to_series().fill_null(value=True)
    at = np.flatnonzero(rose.to_numpy())
    facts = episodes.members
    levels = words(facts.level[members][at], list(episodes.texts))
    children = [times(facts.time_ns[members][at]), floats(severity[at]), levels, gathered(ids, at)]
    return lists(_offsets(own[at], n), structs(children, fields_of(_RISE)))


def _causes(episodes: Episodes, at: I64) -> Array:
    cause = episodes.inhibited_by[at]
    known, places = np.unique(cause, return_inverse=True)
    return gathered(hex_ids(_ids(episodes, known[known >= 0])), places - int((known < 0).any()))
