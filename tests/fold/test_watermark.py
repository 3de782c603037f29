"""The watermark is the running maximum of the median of the last fifteen times, however they come and are cut."""

from __future__ import annotations

from statistics import median_low

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offbeat.fold.watermark import Watermark

times = st.lists(st.one_of(st.integers(-9, 9), st.integers(-(2**62), 2**62)), max_size=60)


@given(times, st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_running_maximum_of_the_median(rows: list[int], cuts: list[int], restored: bool) -> None:
    medians = [median_low(rows[max(0, i - 14) : i + 1]) for i in range(len(rows))]
    mark, seen = Watermark(), list[int]()
    for part in np.split(np.array(rows, np.int64), sorted(cuts)):
        seen += mark.see(part).tolist()
        if restored:
            kept, mark = mark.arrays(), Watermark()
            mark.restore(kept)
    assert seen == np.maximum.accumulate(np.array(medians, np.int64)).tolist()
