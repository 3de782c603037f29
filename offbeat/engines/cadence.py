"""`quality.cadence: auto`: how far the rows of a key lie apart, recognised from the files before the plan is made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import Chunk
from offbeat.core.plan import Plan, SourcePlan
from offbeat.core.state import decode
from offbeat.errors import UserError
from offbeat.io.contract import Source
from offbeat.io.read.file_source import FileSource
from offbeat.io.read.frame import FrameSource

_USUAL = tuple(
    count * unit * 10**9
    for unit, counts in ((1, (1, 5, 10, 15, 20, 30)), (60, (1, 2, 3, 4, 5, 10, 15, 20, 30)), (3600, (1, 2, 3, 4, 6, 8, 12, 24)))
    for count in counts
)
"""Cadences that bars have, ns."""
_NEAR = 0.1
"""A step this much shorter or longer than a cadence still counts for it: stamps are not always on the minute."""
_FILES = 16
_ROWS = 2_000
_BLOCK = 1 << 18
"""So much is looked at: of so many files their first rows, in blocks of so many bytes."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """What was recognised."""

    ns: int
    files: int
    """Files with this cadence."""
    others: tuple[int, ...]
    """Cadences of other files, ns."""


def with_cadence(plan: Plan, reload: Callable[[str], Plan], source: Source, state: Path | None) -> Plan:
    """The plan with its cadence known, where it is to be recognised; `reload` makes it anew with one more override.

    A state goes on with the cadence that it began with. A live source, of which nothing is known ahead, and rows that have no cadence
    keep the default. What was recognised, and not the default, is a note of the plan.
    """
    if not plan.quality.recognise:
        return plan
    kept_ns = None if state is None else _kept(state / "state.arrow")
    if kept_ns is not None:
        return plan if kept_ns == plan.quality.cadence_ns else reload(f"quality.cadence={_written(kept_ns)}")
    found = None if source.live else recognised(_samples(plan.source, source))
    if found is None:
        return plan
    others = " and ".join(_written(ns) for ns in found.others)
    few = f"; other files have {others}, and may have no verdict: run them by themselves" if found.others else ""
    if found.ns == plan.quality.cadence_ns:
        return replace(plan, notes=(*plan.notes, f"rows lie {_written(found.ns)} apart{few}")) if few else plan
    made = reload(f"quality.cadence={_written(found.ns)}")
    said = f"rows lie {_written(found.ns)} apart, which is taken as the cadence; --set quality.cadence=… takes another"
    return replace(made, notes=(*made.notes, said + few))


def recognised(samples: Iterable[Iterable[Chunk]]) -> Cadence | None:
    """The cadence of most files; None where their rows have none. samples: of each file some chunks from its beginning."""
    votes = Counter(ns for ns in map(_cadence, samples) if ns is not None)
    if not votes:
        return None
    # Of equally many the shorter one, so that it does not depend on the order of files.
    most = min(votes, key=lambda ns: (-votes[ns], ns))
    return Cadence(most, votes[most], tuple(sorted(ns for ns in votes if ns != most)))


def _cadence(chunks: Iterable[Chunk]) -> int | None:
    """The usual step from a row of a key to the next, where at least half of the steps are it."""
    frames = []
    for chunk in chunks:
        keys = [chunk.key] * len(chunk.time_ns) if chunk.keys is None else chunk.keys.cast(pl.String)
        frames.append(pl.DataFrame({"key": keys, "at": chunk.time_ns}))
    if not frames:
        return None
    rows = pl.concat(frames).head(_ROWS).filter(pl.col("at") != NULL_INT).unique().sort("key", "at")
    steps = rows.with_columns(step=pl.col("at").diff().over("key"))["step"].drop_nulls().to_numpy()
    if not len(steps):
        return None
    near = [(int((np.abs(steps - ns) <= _NEAR * ns).sum()), ns) for ns in _USUAL]
    count, ns = max(near)
    return ns if 2 * count >= len(steps) else None


def _samples(plan: SourcePlan, source: Source) -> Iterable[Iterable[Chunk]]:
    if isinstance(source, FrameSource):
        yield _first(source)
    if not isinstance(source, FileSource):
        return  # of another package: it is asked for its rows once
    files = [name for name in source.files if name]
    for name in files[:: max(-(-len(files) // _FILES), 1)]:
        try:
            one = FileSource(plan, [name], block=_BLOCK)
            try:
                yield _first(one)
            finally:
                one.close()
        except UserError:  # the run itself says what is wrong with it
            continue


def _first(source: Source) -> Sequence[Chunk]:
    chunks: list[Chunk] = []
    rows = 0
    for chunk in source.chunks(None):
        chunks.append(chunk)
        rows += len(chunk.time_ns)
        if rows >= _ROWS:
            break
    return chunks


def _kept(state: Path) -> int | None:
    """The cadence of a state; None without one."""
    try:
        _, document = decode(state.read_bytes(), str(state))
    except (OSError, UserError):  # which whoever goes on with it says
        return None
    part = document.get("state_parts", {}).get("quality.cadence")
    return None if part is None else int(json.loads(part))


def _written(ns: int) -> str:
    """A duration as a person writes it."""
    for unit, size in (("d", 86_400 * 10**9), ("h", 3_600 * 10**9), ("m", 60 * 10**9), ("s", 10**9)):
        if ns % size == 0:
            return f"{ns // size}{unit}"
    return f"{ns}ns"
