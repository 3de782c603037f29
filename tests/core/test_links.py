"""Links between the windows of two views against a dictionary of sets, and by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from offbeat.core.batch import I32, I64
from offbeat.core.co_occurrence import CoOccurrences, CoOccurring, place_in

HOUR = 3_600_000_000_000
Known = dict[int, dict[int, set[int]]]


def named(linked: CoOccurring) -> list[dict[int, set[int]]]:
    """Per window: target → places of its windows."""
    out = []
    for low, high in zip(linked.offsets[:-1].tolist(), linked.offsets[1:].tolist(), strict=True):
        targets = linked.targets[low:high].tolist()
        assert len(set(targets)) == len(targets)
        bits = [{b for b in range(64) if int(mask) >> b & 1} for mask in linked.masks[low:high].tolist()]
        out.append(dict(zip(targets, bits, strict=True)))
    return out


@dataclass
class Rows:
    """Rows as a fold hands them over."""

    place: I64
    starts: I64
    """By place."""
    target: I32
    """(n,)"""
    hours: I64
    """(n,)"""

    def fold(self, links: CoOccurrences, part: slice) -> None:
        # B's windows get places in order of first appearance in the part, as in a table that is emptied in between.
        target, hours = self.target[part], self.hours[part]
        windows, b_places = np.unique(np.stack([target.astype(np.int64), hours]), axis=1, return_inverse=True)
        b_places = np.where(target >= 0, b_places, -1)
        links.fold(self.place[part], self.starts, b_places, windows[0].astype(np.int32), windows[1].copy())


def rows_of(seed: int, n: int, windows: int, targets: int) -> Rows:
    """Most rows stay with their window's first target."""
    random = np.random.default_rng(seed)
    place = random.integers(-1, windows, n)
    starts = 1_700_000_000_000_000_000 // HOUR * HOUR + (np.arange(windows) % 7) * 24 * HOUR
    target = np.where(random.random(n) < 0.7, place % targets, random.integers(-1, targets, n)).astype(np.int32)
    return Rows(place, starts, target, starts[place] + random.integers(0, 25, n) * HOUR)


def noted(known: Known, rows: Rows) -> None:
    for p, t, hour in zip(rows.place.tolist(), rows.target.tolist(), rows.hours.tolist(), strict=True):
        if p >= 0 and t >= 0:
            known.setdefault(p, {}).setdefault(t, set()).add((hour - int(rows.starts[p])) // HOUR)


def expected(known: Known, places: list[int]) -> list[dict[int, set[int]]]:
    return [known.get(p, {}) for p in places]


def test_by_hand() -> None:
    links = CoOccurrences(HOUR)
    nothing = links.take(np.array([0, 5]))
    assert named(nothing) == [{}, {}]
    targets, hours = np.array([7, 7, 2, 3, 9], np.int32), np.array([0, 24, 3, 4, 6]) * HOUR
    links.fold(np.array([0, 0, 1, -1, 0]), np.zeros(2, np.int64), np.array([0, 1, 2, 3, -1]), targets, hours)
    links.fold(np.array([0]), np.zeros(2, np.int64), np.array([4]), targets, hours)
    assert named(links.take(np.array([1, 0, 2]))) == [{2: {3}}, {7: {0, 24}, 9: {6}}, {}]


@pytest.mark.parametrize(
    ("start", "hour", "place"),
    [
        (0, 0, 0),
        (0, 24 * HOUR, 24),
        (-6 * HOUR - HOUR // 2, -7 * HOUR, 0),  # the first hour of a day that begins at half past
        (-6 * HOUR - HOUR // 2, -6 * HOUR, 1),
        (-6 * HOUR - HOUR // 2, 17 * HOUR, 24),
    ],
)
def test_places_of_hours_in_a_day(start: int, hour: int, place: int) -> None:
    assert place_in(start, hour, HOUR) == place


@pytest.mark.parametrize("targets", [2, 58])
@pytest.mark.parametrize("step", [7, 1000, 40_000])
def test_as_a_dictionary_of_sets_has_it_however_rows_are_cut(targets: int, step: int) -> None:
    rows = rows_of(targets, 40_000 if step > 7 else 4_000, 900, targets)
    links, known = CoOccurrences(HOUR), Known()
    for begin in range(0, len(rows.place), step):
        rows.fold(links, slice(begin, begin + step))
    noted(known, rows)
    places = [*range(950)]
    assert named(links.take(np.array(places))) == expected(known, places)
    some = [899, 3, 400]
    assert named(links.take(np.array(some))) == expected(known, some)


def test_dropped_packed_and_restored_between_folds() -> None:
    links, known = CoOccurrences(HOUR), Known()
    random = np.random.default_rng(5)
    for turn in range(12):
        rows = rows_of(turn, 3_000, 200 + 30 * turn, 20)
        rows.fold(links, slice(None))
        noted(known, rows)
        gone = random.choice(200 + 30 * turn, 60, replace=False)
        if turn % 3 == 0:
            new = np.arange(200 + 30 * turn)
            new[gone] = -1
            links.renumber(new)
            known = Known({p: found for p, found in known.items() if p not in set(gone.tolist())})
        elif turn % 3 == 1:
            new = np.full(200 + 30 * turn, -1, np.int64)
            kept = np.setdiff1d(np.arange(len(new)), gone)
            new[kept] = np.arange(len(kept))
            links.renumber(new)
            known = Known({int(new[p]): found for p, found in known.items() if new[p] >= 0})
        else:
            again = CoOccurrences(HOUR)
            again.restore(links.arrays())
            links = again
        places = [*range(600)]
        assert named(links.take(np.array(places))) == expected(known, places)


def test_a_window_with_one_target_takes_twelve_bytes() -> None:
    links, n = CoOccurrences(HOUR), 1 << 16
    places, starts = np.arange(n), np.zeros(n, np.int64)
    links.fold(places, starts, places % 48, np.arange(48, dtype=np.int32), np.zeros(48, np.int64))
    assert sum(array.nbytes for array in links.arrays().values()) == 12 * n
