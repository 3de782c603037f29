"""What a shard tells the merge shard at a commit: the windows that have grown, and how far time has gone on [R31].

One record a commit, as an Arrow stream with a checksum. It holds deltas: whoever carries it must deliver each exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import NULL_INT
from offbeat.core.partials import Partials
from offbeat.core.state import decode, encode, prefixed, under
from offbeat.fold.undecided import RowGroups


@dataclass(frozen=True, slots=True)
class Delta:
    """What has come to a shard since it last said something."""

    shard: int
    watermark_ns: int
    """The shard's watermark; NULL_INT before its first row."""
    floor_ns: int
    """No row before this will come in the shard; NULL_INT if nothing is known."""
    last_ns: int
    """Greatest time of a row folded."""
    windows: Mapping[str, tuple[list[str], Partials]]
    """By view, names of target keys and the windows, whose `targets` count those."""
    groups: RowGroups
    """Rows that several views may judge, targets as in `windows`; none where one view decides alone."""
    newest_ns: int = NULL_INT
    """Greatest time of a row folded before the shard's input ended; in records of former versions `last_ns` stands for it."""


def pack(delta: Delta) -> bytes:
    """The record."""
    arrays = prefixed("groups", delta.groups.arrays())
    names = {}
    for view, (known, windows) in delta.windows.items():
        names[view] = known
        arrays |= prefixed(f"windows/{view}", windows.arrays())
    times = {"shard": delta.shard, "watermark_ns": delta.watermark_ns, "floor_ns": delta.floor_ns, "last_ns": delta.last_ns}
    times["newest_ns"] = delta.newest_ns
    return encode(arrays, times | {"names": names})


def unpack(data: bytes) -> Delta:
    """What `pack` was given. Raises UserError where the record is damaged."""
    arrays, document = decode(data, "partials")
    names = document.pop("names")
    windows = {view: (known, Partials.from_arrays(under(f"windows/{view}", arrays))) for view, known in names.items()}
    return Delta(**document, windows=windows, groups=RowGroups(**under("groups", arrays)))


def named(names: list[str], windows: Partials, groups: RowGroups, view: int) -> tuple[list[str], Partials, np.ndarray]:
    """Windows whose targets are counted among those that occur alone, with their names; and the groups' targets of that view likewise."""
    here = groups.targets[:, view] if len(groups) else np.zeros(0, np.int32)
    used = np.unique(np.concatenate([windows.targets, here[here >= 0]]))
    known = [names[slot] for slot in used.tolist()]
    targets = np.searchsorted(used, windows.targets).astype(np.int32)
    among = np.where(here >= 0, np.searchsorted(used, here), -1).astype(np.int32)
    return known, windows.of(targets), among
