"""The package driven by hand: rows of the laws as chunks, its blocks as the oracle's plain records."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from oracle import Oracle
from oracle_spec import Pipeline, Row

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import FAULTS, Chunk
from offbeat.core.evidence import WindowSpan
from offbeat.decide.block import STATUSES, AlertBlock, Quarantined

DTYPES: dict[str, Any] = {"float": pl.Float64, "decimal": pl.Int64, "text": pl.String, "bool": pl.Boolean}
Record = dict[str, Any]


def chunk_of(pipeline: Pipeline, rows: Sequence[Row]) -> Chunk:
    """Rows as a source would hand them over."""
    frame = pl.DataFrame(
        [pl.Series(c.name, [row.columns[c.name] for row in rows], DTYPES[c.kind]) for c in pipeline.columns],
    )

    def raw(index: npt.NDArray[np.intp]) -> list[str]:
        return [f"row {rows[i].row}" for i in index]

    return Chunk(
        frame=frame,
        key=None,
        keys=pl.Series("key", [row.key for row in rows], pl.String),
        time_ns=np.array([NULL_INT if row.time_ns is None else row.time_ns for row in rows], np.int64),
        faults=np.array([FAULTS.index(row.fault) for row in rows], np.int8),
        file=0,
        first_row=rows[0].row if rows else 1,
        rows=np.array([row.row for row in rows], np.int64),
        files=None,
        raw=raw,
        position={"row": rows[-1].row if rows else 0},
    )


def number(value: float) -> float | None:
    """What is not finite is null, as in the record; both zeros are one."""
    return value + 0.0 if math.isfinite(value) else None


def plain_alerts(blocks: Sequence[AlertBlock]) -> list[Record]:
    """Blocks as the oracle writes them."""
    return [_plain(block, i) for block in blocks for i in range(len(block))]


def _plain(block: AlertBlock, i: int) -> Record:
    detectors = [
        {
            "name": d.name,
            "type": d.type,
            "window": _span(d.window, i),
            "score": number(float(d.score[i])),
            "raw": number(float(d.raw[i])),
            "threshold": number(float(d.threshold[i])),
            "voted": bool(d.voted[i]),
            "observed": number(float(d.observed[i])),
            "expected": number(float(d.expected[i])),
            "contributions": [number(value) for value in d.contributions[:, i].tolist()],
            "out_of_range": [
                (int(d.out_of_range.feature[t]), *(number(value) for value in d.out_of_range.values[:, t].tolist()))
                for t in range(int(d.out_of_range.offsets[i]), int(d.out_of_range.offsets[i + 1]))
            ],
            "note": d.notes[i] if d.notes else "",
            "version": int(d.version[i]),
        }
        for d in block.detectors
    ]
    return {
        "view": block.view,
        "key": block.keys[int(block.key[i])],
        "time_ns": int(block.time_ns[i]),
        "alert_id": block.ids[i].tobytes().hex(),
        "revision": int(block.revision[i]),
        "status": STATUSES[int(block.status[i])],
        "severity": number(float(block.severity[i])),
        "level": block.levels[int(block.level[i])],
        "votes": int(block.votes[i]),
        "voters": int(block.voters[i]),
        "detectors": detectors,
        "row": {name: _value(value) for name, value in block.row.row(i, named=True).items()},
        "window": _span(block.window, i),
        "statistics": {name: number(float(block.values[k, i])) for k, name in enumerate(block.statistics)},
    }


def _span(window: WindowSpan, i: int) -> dict[str, int | None] | None:
    start, count = int(window.from_ns[i]), int(window.n[i])
    return None if count == NULL_INT else {"from": None if start == NULL_INT else start, "to": int(window.to_ns[i]), "n": count}


def _value(value: Any) -> Any:
    if isinstance(value, bool | int):
        return float(value)
    return number(value) if isinstance(value, float) else value


def plain_set_aside(parts: Sequence[Quarantined]) -> list[tuple[int, int, str]]:
    return sorted((int(p.files[i]), int(p.rows[i]), reason) for p in parts for i, reason in enumerate(p.reasons))


def bits(value: Any) -> Any:
    """Floats as their bits, so that equality means equality of bits."""
    if isinstance(value, float):
        return struct.pack("<d", value + 0.0)
    if isinstance(value, dict):
        return {name: bits(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [bits(each) for each in value]
    return value


def in_order(alerts: Sequence[Record]) -> list[Record]:
    """Alerts are a set; written in one order."""
    return sorted(alerts, key=lambda a: (a["view"], a["key"], a["time_ns"], a["alert_id"], a["revision"]))


def assert_same(ours: Sequence[Record], expected: Sequence[Record]) -> None:
    """Equal bit for bit, and a message that names the first difference."""
    left, right = in_order(ours), in_order(expected)
    ids = [[(a["view"], a["key"], a["time_ns"], a["alert_id"]) for a in side] for side in (left, right)]
    assert ids[0] == ids[1]
    for a, b in zip(left, right, strict=True):
        if bits(a) != bits(b):
            assert a == b
            assert repr(a) == repr(b), "equal as numbers, not as bits"
            raise AssertionError(f"{a} is not {b}")


def ledger_of(oracle: Oracle) -> Record:
    """The oracle's ledger in the form of the package's."""
    ledger = oracle.ledger()
    assert ledger.adds_up()
    return {
        "rows_in": ledger.rows_in,
        "scored": ledger.scored,
        "warming_up": sum(ledger.warming_up.values()),
        "late": ledger.late,
        "duplicate": ledger.duplicate,
        "filtered": ledger.filtered,
        "pending": ledger.pending,
        "quarantined": dict(sorted(ledger.quarantined.items())),
        "views": {
            name: {each: counter[each] for each in ("windows", "scored", "warming_up", "abstained", "in_cooldown")}
            | {"no_spread": {value: n for value, n in sorted(counter.items()) if "." in value}}
            | {"detectors": _by_detector(counter, [d.name for view in oracle.pipeline.views if view.name == name for d in view.detectors])}
            for name, counter in ledger.views.items()
        },
    }


def _by_detector(counter: Mapping[str, int], names: Sequence[str]) -> Record:
    """How often each detector had a verdict, a vote or none."""
    return {name: {what: counter.get(f"{name} {what}", 0) for what in ("verdicts", "votes", "none", "warming_up")} for name in names}


def comparable(plain: Record, pipeline: Pipeline) -> Record:
    """The package's ledger as the oracle can know it: every view is there, also one that no row has reached."""
    nothing = {"windows": 0, "scored": 0, "warming_up": 0, "abstained": 0, "in_cooldown": 0, "no_spread": {}}
    never: dict[str, Any] = {"verdicts": 0, "votes": 0, "none": {}, "warming_up": {}}
    for view in pipeline.views:
        plain["views"].setdefault(view.name, {**nothing, "detectors": {d.name: never for d in view.detectors}})
    plain["views"] = {view.name: plain["views"][view.name] for view in pipeline.views}
    for view in plain["views"].values():
        # Of reasons only how often there was one: the oracle knows no more.
        view["detectors"] = {
            name: {
                "verdicts": found["verdicts"], "votes": found["votes"],
                "none": sum(found["none"].values()), "warming_up": sum(found["warming_up"].values()),
            }
            for name, found in view["detectors"].items()
        }  # fmt: skip
    return plain
