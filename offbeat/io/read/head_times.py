"""The place of a row among those of other files [S2]: the greatest time of its key so far in its own file."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import EVER, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.int128_sums import minus


@compiled
def _walk(groups: I64, times: I64, max_jump: int, newest: I64, candidate: I64, heads: I64) -> None:
    for i in range(len(times)):
        g, t = groups[i], times[i]
        if t == NULL_INT:
            heads[i] = newest[g]
            continue
        c = candidate[g]
        if c >= 0:
            candidate[g] = -1
            if t >= minus(times[c], max_jump):
                newest[g] = max(newest[g], times[c])
            heads[c] = newest[g]
        if newest[g] == NULL_INT or minus(t, max_jump) > newest[g]:
            candidate[g] = i
        else:
            newest[g] = max(newest[g], t)
        heads[i] = newest[g]
    for g in range(len(candidate)):
        if candidate[g] >= 0:
            heads[candidate[g]] = max(newest[g], times[candidate[g]])


def head_times(groups: I64, times: I64, max_jump_ns: int | None) -> I64:
    """(n,) the place of each row; rising in each group, NULL_INT before its first time.

    groups (n,): file and key of each row, from 0. times (n,): in the order of the files; NULL_INT for rows without one. A row that jumps
    ahead by more than `max_jump_ns`, and that the next row of its group does not confirm, moves none of the rows after it [S4]: it is
    read where it stands.
    """
    size = int(groups.max(initial=-1)) + 1
    heads: I64 = np.empty(len(times), np.int64)
    newest, candidate = np.full(size, NULL_INT), np.full(size, -1)
    _walk(groups, times, EVER if max_jump_ns is None else max_jump_ns, newest, candidate, heads)
    return heads
