"""Words on single files for the top of a report: one that is mostly unfit, and two that give one key different rows [R5, R21]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from offbeat.decide.block import Quarantined

_MOST = 0.5
"""Above this share of a file's rows a reason is named."""
_NAMED = 3
"""Files, or pairs of files, that are named."""
_SHOWN = 80
"""Characters of a row that are shown."""


class FileFaults:
    """Quarantined rows by file and reason."""

    def __init__(self) -> None:
        self._rows = Counter[tuple[int, str]]()
        self._first: dict[tuple[int, str], tuple[int, str]] = {}

    def note(self, quarantined: Sequence[Quarantined]) -> None:
        """Rows were quarantined."""
        for rows in quarantined:
            found = Counter(zip(rows.files.tolist(), rows.reasons, strict=True))
            self._rows.update(found)
            for file, reason in found.keys() - self._first.keys():
                place = next(i for i, told in enumerate(rows.reasons) if told == reason and rows.files[i] == file)
                self._first[file, reason] = int(rows.rows[place]), rows.raw[place][:_SHOWN]

    def add(self, other: FileFaults) -> None:
        """Rows that another process saw."""
        self._rows.update(other._rows)
        for place, first in other._first.items():
            self._first[place] = min(first, self._first.get(place, first))

    def document(self) -> list[list[Any]]:
        """For the way to another process, as JSON."""
        return [[file, reason, n, *self._first[file, reason]] for (file, reason), n in self._rows.items()]

    @classmethod
    def of(cls, document: list[list[Any]]) -> FileFaults:
        """What `document` gave."""
        faults = cls()
        for file, reason, n, row, text in document:
            faults._rows[file, reason], faults._first[file, reason] = n, (row, text)
        return faults

    def words(self, names: Sequence[str], rows: Mapping[int, int]) -> list[str]:
        """For each file of which one reason took more than half. rows: of each file, by its number. Late rows have words of their own."""
        many = [(file, why) for (file, why), n in self._rows.items() if why != "late" and n > _MOST * rows.get(file, 0)]
        many.sort(key=lambda place: (-self._rows[place], place))
        said = [self._said(names[file], file, why, rows.get(file, 0)) for file, why in many[:_NAMED]]
        if len(many) > _NAMED:
            said.append(f"{len(many) - _NAMED:,} more files are mostly quarantined, too")
        return said

    def _said(self, name: str, file: int, reason: str, rows: int) -> str:
        row, text = self._first[file, reason]
        n = self._rows[file, reason]
        return f"{name}: {n:,} of {rows:,} rows are quarantined as `{reason}`; the first is row {row:,}: {text}"


def pair_words(names: Sequence[str], pairs: Mapping[tuple[int, int, str], int]) -> list[str]:
    """pairs: (file, file, key) → rows of equal times and different content."""
    worst = sorted(pairs, key=lambda pair: (-pairs[pair], pair))
    said = [
        f"{names[one]}, {names[other]}: key {key} has rows of the same times with different content ({pairs[one, other, key]:,}); if they "
        "are two things, give each a key of its own (`source.key`)"
        for one, other, key in worst[:_NAMED]
    ]
    return said if len(worst) <= _NAMED else [*said, f"so do {len(worst) - _NAMED:,} more pairs of files"]
