"""Times as text against Python's own calendar, at any depth of a column."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from offbeat.io.write.arrow_arrays import TIME
from offbeat.io.write.rfc_3339 import spelled


def by_calendar(time_ns: int) -> str:
    """The date by `datetime`, which has no nanoseconds: those are written by hand."""
    second, fraction = divmod(time_ns, 1_000_000_000)
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1))
@example([2**63 - 1, -(2**63) + 1, 0, -1, 951_782_399_999_999_999, 951_782_400_000_000_000, 4_107_542_400_000_000_000])
def test_any_time(times: list[int]) -> None:
    assert spelled(pa.array(times).cast(TIME)).to_pylist() == [by_calendar(time) for time in times]


def test_at_any_depth_and_in_slices() -> None:
    entry = pa.struct([("at", TIME), ("n", pa.int64())])
    rows = [[{"at": 0, "n": 1}], [], None, [{"at": None, "n": 2}, None, {"at": 86_400_000_000_001, "n": 4}]]
    lists = pa.array(rows, pa.list_(entry))
    expected = [
        [{"at": "1970-01-01T00:00:00.000000000Z", "n": 1}],
        [],
        None,
        [{"at": None, "n": 2}, None, {"at": "1970-01-02T00:00:00.000000001Z", "n": 4}],
    ]
    assert spelled(lists).to_pylist() == expected
    assert spelled(lists.slice(1)).to_pylist() == expected[1:]
    plain = pa.array([1.5, None])
    assert spelled(plain) is plain
