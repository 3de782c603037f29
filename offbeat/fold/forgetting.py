"""Keys that have not been seen for long start anew, and nothing of them is kept (`quality.forget_after`) [R27].

A key has one slot in the shard, where its rows are put in order, and another one in the views for each of its lives: so a key that
comes back in the middle of a batch has windows and models of its own from that row on. What is left of its former life is dropped later,
at any time.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from offbeat.core.batch import I32, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.keys import KeyTable
from offbeat.core.rings import grown_rows
from offbeat.core.row_walk import long_unseen
from offbeat.core.state import Arrays

EVERY_ROWS = 4096
"""A shard of a live source looks for keys to forget whenever it has got so many rows."""
_NONE = -1


@compiled
def _follow(slots: I32, time_ns: I64, forget: int, own: I32, last: I64, lives: int, out: I32, fresh: I32) -> int:
    """Slots in the views of n rows, `lives` of which are taken; `fresh` has the key slots of lives that begin. Returns how many do."""
    n = 0
    for i in range(len(slots)):
        s = slots[i]
        if own[s] == _NONE or long_unseen(time_ns[i], last[s], forget):
            own[s] = lives + n
            fresh[n] = s
            n += 1
        last[s] = time_ns[i]
        out[i] = own[s]
    return n


class Lives:
    """The lives of a shard's keys: a slot in its views each, in the order in which they begin."""

    def __init__(self, forget_ns: int, names: Iterable[str] = ()) -> None:
        """names: keys of the lives so far."""
        self._forget_ns = forget_ns
        self.keys = KeyTable(names)
        """Names by slot in the views; one that came back stands there more than once."""
        self._own: I32 = np.zeros(0, np.int32)
        self._last: I64 = np.zeros(0, np.int64)
        """By key slot: the slot of its present life, -1 without one, and the time of its last row."""

    def slots(self, keys: KeyTable, slots: I32, time_ns: I64) -> I32:
        """(n,) slots in the views of n rows in fold order, of which `slots` are those of their `keys`."""
        self._own, self._last = grown_rows(self._own, len(keys), _NONE), grown_rows(self._last, len(keys))
        out, fresh = np.empty(len(slots), np.int32), np.empty(len(slots), np.int32)
        n = _follow(slots, time_ns, self._forget_ns, self._own, self._last, len(self.keys), out, fresh)
        for slot in fresh[:n].tolist():
            self.keys.add(keys.names[slot])
        return out

    def end(self, slots: I64) -> None:
        """The present lives of some key slots are over."""
        self._own[slots[slots < len(self._own)]] = _NONE

    def present(self, slots: I64) -> I64:
        """Slots in the views of the present lives of some key slots, in their order, without those that have none."""
        own = self._of(slots)
        lives: I64 = own[own != _NONE].astype(np.int64)
        return lives

    def _of(self, slots: I64) -> I32:
        self._own = grown_rows(self._own, int(slots.max(initial=-1)) + 1, _NONE)
        self._last = grown_rows(self._last, len(self._own))
        own: I32 = self._own[slots]
        return own

    def arrays(self, slots: I64) -> Arrays:
        """State of some key slots, as if the present lives of theirs were the only ones."""
        has = self._of(slots) != _NONE
        return {"own": np.where(has, np.cumsum(has) - 1, _NONE).astype(np.int32), "last": np.where(has, self._last[slots], 0)}

    def restore(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave; the names came with the making."""
        self._own, self._last = arrays["own"].copy(), arrays["last"].copy()


def typical_ns(seen_ns: I64, since_ns: int) -> int:
    """The median of the times at which keys were last seen, of those after `since_ns`; `since_ns` without any.

    So a few keys whose clocks are ahead make nothing be forgotten, and the time never goes back.
    """
    recent = np.sort(seen_ns[seen_ns > since_ns])
    return int(recent[(len(recent) - 1) // 2]) if len(recent) else since_ns


def over(seen_ns: I64, now_ns: int, forget_ns: int, max_jump_ns: int) -> I64:
    """Slots of keys, last seen at `seen_ns` (NULL_INT: never), that are forgotten when time has come to `now_ns`."""
    before_ns = max(now_ns - forget_ns - max_jump_ns, NULL_INT)
    slots: I64 = np.flatnonzero((seen_ns != NULL_INT) & (seen_ns < before_ns))
    return slots
