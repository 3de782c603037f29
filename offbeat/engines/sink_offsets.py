"""Which outputs a state knows and how far each is: found again under another spelling of the path, kept while a run does not use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from offbeat.core.chunk import Position
from offbeat.errors import UserError
from offbeat.io.write.parquet_sink import part_files

Known = dict[str, dict[str, Any]]
"""By name: `path`, resolved, and `at`, the sink's position. JSON."""


class SinkOffsets:
    """The positions of all outputs that runs with one state ever had.

    `known` is what `committed` gave when the state was stored; None where none is stored yet: an output of an earlier life is then
    replaced.
    """

    def __init__(self, known: Known | None) -> None:
        self._fresh = known is None
        self._known: Known = dict(known or {})
        self._paths: dict[str, str] = {}
        self.joined = False
        """Whether an output came that the stored state does not know: it has to be stored before anything is written there."""

    def position(self, name: str, path: Path | None) -> Position | None:
        """Where the output goes on; None for one that begins. `path`: the file or folder, None for what cannot be read again.

        Raises UserError for one that the state does not know but that has something in it: nobody can tell whose it is, and it would be
        lost.
        """
        real = "" if path is None else str(path.resolve())
        for other, entry in self._known.items():
            if path is not None and entry["path"] == real and other != name:
                self._known[name] = self._known.pop(other)
                break
        self._paths[name] = real
        if name in self._known:
            at: Position = dict(self._known[name]["at"])
            return at
        if not self._fresh:
            self.joined = True
            if path is not None and _holds_something(path):
                raise UserError(f"cannot write {path}: it exists, and the state did not write it; move it away, or name another")
        return None

    def committed(self, positions: dict[str, Position]) -> Known:
        """What is to be stored, after a commit that gave these positions."""
        self._known |= {name: {"path": self._paths[name], "at": at} for name, at in positions.items()}
        return self._known


def _holds_something(path: Path) -> bool:
    if path.is_dir():
        return bool(part_files(path))
    return path.is_file() and path.stat().st_size > 0
