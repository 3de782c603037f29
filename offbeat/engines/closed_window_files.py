"""Closed windows of a view in files of their own, below a state directory."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from offbeat.core.state import decode, store
from offbeat.errors import UserError
from offbeat.fold.closed_windows import Closed, ClosedWindows

WINDOWS = "windows"
"""Folder of the state directory for closed windows."""
_SUFFIX = ".windows"


class ClosedWindowFiles(ClosedWindows):
    """Files of one directory; what a state names is kept, anything else there is left over from a crash."""

    def __init__(self, directory: Path, view: str) -> None:
        super().__init__()
        self._directory, self._view = directory, view

    def write(self, closed: Closed) -> str:
        """Write windows to a new file; durable when this returns its name."""
        starts = closed.windows.starts
        stem = f"{self._view}-{starts[0]}-{starts[-1]}"
        # A file of that name may be one that the last state knows.
        versions = (f"{stem}+{version}{_SUFFIX}" if version else stem + _SUFFIX for version in count())
        name = next(name for name in versions if not (self._directory / name).exists())
        path = self._directory / name
        partial = path.with_suffix(".partial")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                store(file, closed.arrays(), {})
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise UserError(f"cannot write closed windows to {path}: {error.strerror}; the last committed state is still valid") from error
        return name

    def read(self, name: str) -> Closed:
        """The windows of a file. Raises UserError when it is damaged or gone."""
        path = self._directory / name
        try:
            arrays, _ = decode(path.read_bytes(), str(path))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; restore it, or read all sources again with --rebuild") from error
        return Closed.from_arrays(arrays)

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self._directory / name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Of the view's files, those that a crash left half-written among them."""
        return [path.name for path in self._directory.glob(f"{self._view}-*")]
