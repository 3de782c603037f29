"""Random streams for the laws: small times near each other, so that ties, duplicates, window edges and late rows happen all the time."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from case import Case
from hypothesis import strategies as st
from oracle_spec import Column, Row, Value

MORE = int(os.environ.get("OFFBEAT_MORE_EXAMPLES", "1"))
"""Times as many examples as in CI: for a hunt, with HYPOTHESIS_PROFILE=hunt for new ones."""
NAN, INF = float("nan"), float("inf")
USUAL = (0.0, 1.0, 2.0, 3.0, 0.1, 0.7, -1.5, 1e3)
ODD = (-0.0, 1e16, -1e16, 1.7e308, -1.7e308, 5e-324, 1e-200, NAN, INF, -INF)
INTEGERS = (1, 2, 3, 3, 150, 333, 900, 1100)
HUGE = (0, -7, 2**53 + 1, 4 * 10**18, -4 * 10**18, 2**63 - 1, -(2**63) + 1)
TEXTS = ("A", "A", "B", "N")
STRANGE_TEXTS = ("", "\u00e9\u4e2d", "a", None)


@dataclass(frozen=True)
class Stream:
    """Rows in arrival order and how to carry them."""

    rows: tuple[Row, ...]
    cuts: tuple[int, ...]
    """Sizes of chunks, used round and round; zeros are empty chunks."""
    shards: tuple[int, ...]
    """Shard of the i-th key, used round and round."""
    crashes: frozenset[int]
    """Numbers of chunks after which the worker dies."""


def _number(column: Column, calm: bool) -> st.SearchStrategy[Value]:
    if column.kind == "text":
        return st.sampled_from(TEXTS + (() if calm else STRANGE_TEXTS))
    if column.kind == "decimal":
        return st.sampled_from(INTEGERS + (() if calm else (*HUGE, None)))
    return st.sampled_from(USUAL + (() if calm else (*ODD, None)))


def _columns(case: Case) -> st.SearchStrategy[dict[str, Value]]:
    """Mostly calm rows: one in a few holds something odd, else almost every stream would be odd all over."""
    columns = case.pipeline.columns

    def of(calm: bool) -> st.SearchStrategy[dict[str, Value]]:
        return st.fixed_dictionaries({column.name: _number(column, calm) for column in columns})

    return st.one_of(*[of(True)] * 5, of(False))


def _bar(close: float, up: float, down: float, opened: float, volume: float) -> dict[str, Value]:
    values = {"open": opened, "high": max(close, opened) + up, "low": min(close, opened) - down, "close": close, "volume": volume}
    return dict(values)


def _bars() -> st.SearchStrategy[dict[str, Value]]:
    price = st.sampled_from((100.0, 100.0, 100.4, 100.5, 100.6, 101.0, 99.5, 0.05))
    good = st.builds(
        _bar, price, st.sampled_from((0.0, 1.0)), st.sampled_from((0.0, 0.01)), price, st.sampled_from((0.0, 0.0, 50.0, 51.0, 52.5, 100.0))
    )
    odd = st.builds(
        _bar,
        st.sampled_from((100.0, 0.0, -1.0, 1e308, NAN, INF)),
        st.sampled_from((0.0, -1.0, NAN)),
        st.sampled_from((0.0, -1.0)),
        price,
        st.sampled_from((-1.0, 0.0, 0.122, 1e308, NAN)),
    )
    return st.one_of(*[good] * 6, odd)


_KINDS = ("new",) * 7 + ("same",) * 4 + ("copy", "copy", "conflict", "conflict", "fault", "far", "jump", "edge")


@st.composite
def streams(draw: st.DrawFn, case: Case, max_rows: int = 50) -> Stream:
    """A random stream of one pipeline."""
    key_count = draw(st.sampled_from((1, 1, 2, 3, 30)))
    values = _bars() if case.name == "bars" else _columns(case)
    steps = st.sampled_from((0, 0, 1, 1, 1, 1, 2, 3, 6, -1, -2, -9) if case.pipeline.lateness_ns else (0, 0, 1, 1, 1, 1, 1, 2, 6, -1))
    least = draw(st.sampled_from((0, 12, 30)))
    event = st.tuples(st.sampled_from(_KINDS), st.integers(0, key_count - 1), steps, values, st.integers(0, 5))
    events = draw(st.lists(event, min_size=least, max_size=max_rows))
    rows: list[Row] = []
    cursor = case.start_s * 1_000_000_000
    reach = case.pipeline.max_jump_ns
    for kind, key, delta, columns, choice in events:
        if kind in {"copy", "conflict"} and rows:
            earlier = rows[-1 - choice % len(rows)]
            kept = {name: earlier.columns[name] for name in (columns if kind == "copy" else case.pipeline.unique) if name != "time"}
            rows.append(replace(earlier, columns={**columns, **kept}, row=len(rows) + 1))
            continue
        row = _event(case, kind, cursor, _standing(case, rows, columns) if kind == "same" else columns, choice)
        if kind in {"new", "same"}:
            cursor += delta * case.step_ns
            row = replace(row, time_ns=cursor)
        elif kind == "edge" and choice == 0:
            cursor += reach + case.step_ns  # the stream really goes on after a gap
            row = replace(row, time_ns=cursor)
        if row.key is not None:
            row = replace(row, key="" if case.pipeline.optional_key and choice == 0 else f"k{key}")
        rows.append(replace(row, row=len(rows) + 1))
    return Stream(
        tuple(rows),
        tuple(draw(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any))),
        tuple(draw(st.lists(st.integers(0, 2), min_size=1, max_size=5))),
        frozenset(draw(st.lists(st.integers(0, 12), max_size=4))),
    )


def _standing(case: Case, rows: list[Row], columns: dict[str, Value]) -> dict[str, Value]:
    """A plateau: values stand still, as those of a stuck sensor or a quiet line do."""
    before = rows[-1].columns if rows and not rows[-1].fault else {}
    return {name: value if name in case.pipeline.unique else before.get(name, value) for name, value in columns.items()}


def _event(case: Case, kind: str, cursor: int, columns: dict[str, Value], choice: int) -> Row:
    step, reach, lateness = case.step_ns, case.pipeline.max_jump_ns, case.pipeline.lateness_ns
    if kind == "fault":
        empty: dict[str, Value] = dict.fromkeys(columns)
        fault = ("encoding", "ragged", "missing", "type", "time", "missing")[choice]
        return Row("?" if choice > 1 else None, None if choice in {0, 1, 4} else cursor, empty, fault=fault)
    if kind == "far":
        far = (0, 2**63 - 1, 3_155_760_000 * 10**9, 946_684_800 * 10**9, 946_684_800 * 10**9 - 1, 2_208_988_800 * 10**9 + 1)
        return Row("?", far[choice], columns)
    if kind == "jump":
        return Row("?", cursor + (reach, reach + 1, reach + step, 2 * reach, -reach, -lateness)[choice], columns)
    if kind == "edge":
        return Row("?", cursor + (0, 1, -1, -lateness - 1, -lateness, step)[choice], columns)
    return Row("?", cursor, columns)


def chunk_sizes(stream: Stream) -> list[int]:
    """The cuts as sizes that cover the stream."""
    sizes: list[int] = []
    left = len(stream.rows)
    while left > 0:
        sizes.append(min(left, stream.cuts[len(sizes) % len(stream.cuts)]))
        left -= sizes[-1]
    return [*sizes, 0]
