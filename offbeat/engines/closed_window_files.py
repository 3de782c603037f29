"""Closed windows of a view in files of their own, below a state directory."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import numpy as np

from offbeat.core.co_occurrence import CoOccurring
from offbeat.core.partials import Partials
from offbeat.core.state import Arrays, decode, prefixed, store, under
from offbeat.errors import UserError
from offbeat.fold.absent_windows import Missing
from offbeat.fold.closed_windows import Closed

_SUFFIX = ".windows"


class ClosedWindowFiles:
    """Files of one directory; what a state names is kept, anything else there is left over from a crash."""

    def __init__(self, directory: Path, view: str) -> None:
        self._directory, self._view = directory, view
        self.entries: list[tuple[int, int, str]] = []
        """(first start, last start, file name) in order of time."""
        self._unused: list[str] = []

    def keep(self, closed: Closed) -> None:
        """Write windows later than all that are here; durable when this returns."""
        low, high = int(closed.windows.starts[0]), int(closed.windows.starts[-1])
        self.entries.append((low, high, self._write(f"{self._view}-{low}-{high}", closed)))

    def cut(self, from_ns: int) -> None:
        """Forget windows that start at a time or later; files stay until `tidy`."""
        for number in reversed(range(len(self.entries))):
            low, high, name = self.entries[number]
            if low >= from_ns:
                self._unused.append(name)
                del self.entries[number]
            elif high >= from_ns:
                self.replace(number, self.load(number).before(from_ns))

    def drop_before(self, until_ns: int) -> None:
        """Forget windows that start before a time; files stay until `tidy`."""
        while self.entries and self.entries[0][1] < until_ns:
            self._unused.append(self.entries.pop(0)[2])
        if self.entries and self.entries[0][0] < until_ns:
            self.replace(0, self.load(0).since(until_ns))

    def replace(self, number: int, closed: Closed) -> None:
        """Put other windows in place of an entry; its file stays until `tidy`."""
        name = self.entries[number][2]
        self._unused.append(name)
        low, high = int(closed.windows.starts[0]), int(closed.windows.starts[-1])
        self.entries[number] = (low, high, self._write(name.removesuffix(_SUFFIX).partition("+")[0], closed))

    def _write(self, stem: str, closed: Closed) -> str:
        # A file of that name may be one that the last state knows.
        versions = (f"{stem}+{version}{_SUFFIX}" if version else stem + _SUFFIX for version in count())
        name = next(name for name in versions if not (self._directory / name).exists())
        w = closed.windows
        arrays: Arrays = {"targets": w.targets, "starts": w.starts, "ints": w.ints.T, "floats": w.floats.T, "standing": closed.standing}
        arrays |= prefixed("missing", closed.missing.arrays())
        for other, linked in closed.linked.items():
            arrays |= prefixed(f"links/{other}", {"offsets": linked.offsets, "targets": linked.targets, "masks": linked.masks})
        path = self._directory / name
        partial = path.with_suffix(".partial")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                store(file, arrays, {})
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise UserError(f"cannot write closed windows to {path}: {error.strerror}; the last committed state is still valid") from error
        return name

    def load(self, number: int) -> Closed:
        """An entry's windows. Raises UserError when the file is damaged or gone."""
        path = self._directory / self.entries[number][2]
        try:
            arrays, _ = decode(path.read_bytes(), str(path))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; restore it, or remove the state directory to start over") from error
        ints, floats = np.ascontiguousarray(arrays["ints"].T), np.ascontiguousarray(arrays["floats"].T)
        others = dict.fromkeys(name.split("/")[1] for name in arrays if name.startswith("links/"))
        linked = {other: CoOccurring(**under(f"links/{other}", arrays)) for other in others}
        windows, missing = Partials(arrays["targets"], arrays["starts"], ints, floats), Missing(**under("missing", arrays))
        return Closed(windows, arrays["standing"], missing, linked)

    def tidy(self) -> None:
        """Remove files of entries that were replaced or dropped; to be called once a state no longer names them."""
        for name in self._unused:
            (self._directory / name).unlink(missing_ok=True)
        self._unused.clear()

    def restore(self, entries: list[list[int | str]]) -> None:
        """Go on with the entries of a state."""
        self.entries = [(int(low), int(high), str(name)) for low, high, name in entries]
        known = {name for _, _, name in self.entries}
        for path in self._directory.glob(f"{self._view}-*{_SUFFIX}"):
            if path.name not in known:
                path.unlink(missing_ok=True)
