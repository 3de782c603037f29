"""Times as text in RFC 3339, with nine digits of the second and `Z`: as every JSON line has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.days import DAY_NS
from offbeat.io.write.arrow_arrays import TIME, Array, child, fields_of, lists, structs, texts_of

_SECOND_NS = 1_000_000_000
_PATTERN = np.frombuffer(b"0000-00-00T00:00:00.000000000Z", np.uint8)


@compiled
def _digits(value: np.uint64, out: npt.NDArray[np.uint8], line: int, last: int, count: int) -> None:
    """Write `count` digits of a number into a line, so that they end at `last`."""
    ten = np.uint64(10)
    for place in range(last, last - count, -1):
        rest = value // ten
        out[line, place] = np.uint8(48) + np.uint8(value - rest * ten)
        value = rest


@compiled
def _spell(time_ns: I64, out: npt.NDArray[np.uint8]) -> None:
    """out[i] = the 30 characters of each time; what is null is left as it is. From days to dates by Hinnant's algorithm."""
    written, known = -1, 0
    for i in range(len(time_ns)):
        t = time_ns[i]
        if t == NULL_INT:
            continue
        day = t // DAY_NS
        if written >= 0 and day == known:
            for place in range(10):
                out[i, place] = out[written, place]
        else:
            shifted = day + 719_468  # days since 0000-03-01
            era = shifted // 146_097
            of_era = shifted - era * 146_097
            year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
            of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
            month = (5 * of_year + 2) // 153  # from March
            _digits(np.uint64(year_of_era + era * 400 + (1 if month >= 10 else 0)), out, i, 3, 4)
            _digits(np.uint64(month + (3 if month < 10 else -9)), out, i, 6, 2)
            _digits(np.uint64(of_year - (153 * month + 2) // 5 + 1), out, i, 9, 2)
        written, known = i, day
        rest = np.uint64(t - day * DAY_NS)
        second, minute = rest // np.uint64(_SECOND_NS), rest // np.uint64(60 * _SECOND_NS)
        hour = minute // np.uint64(60)
        _digits(hour, out, i, 12, 2)
        _digits(minute - hour * np.uint64(60), out, i, 15, 2)
        _digits(second - minute * np.uint64(60), out, i, 18, 2)
        fraction = rest - second * np.uint64(_SECOND_NS)
        if fraction > np.uint64(0):
            _digits(fraction, out, i, 28, 9)


def spelled(array: Array) -> Array:
    """The array with its times as text, at any depth; one without times as it is."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        whole: Any = array.cast(TIME).cast(pa.int64()).fill_null(NULL_INT)
        times = np.asarray(whole.to_numpy(), np.int64)
        characters = np.tile(_PATTERN, (len(times), 1))
        _spell(times, characters)
        return texts_of(characters, times != NULL_INT)
    if not has_times(kind):
        return array
    if pa.types.is_struct(kind):
        children = [spelled(child(array, field.name)) for field in fields_of(kind)]
        fields = [pa.field(field.name, made.type) for field, made in zip(fields_of(kind), children, strict=True)]
        return structs(children, fields, absent=array.is_null())
    loose: Any = array
    begin, end = loose.offsets[0].as_py(), loose.offsets[-1].as_py()
    return lists(loose.offsets.to_numpy() - begin, spelled(loose.values.slice(begin, end - begin)), absent=array.is_null())


def has_times(kind: Any) -> bool:
    """Whether there are times in values of a type."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return has_times(kind.value_type)
    return any(has_times(field.type) for field in kind) if pa.types.is_struct(kind) else pa.types.is_timestamp(kind)
