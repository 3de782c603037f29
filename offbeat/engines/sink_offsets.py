"""Which outputs a state knows and how far each is: found again under another spelling of the path, kept while a run does not use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from offbeat.core.chunk import Position
from offbeat.io.write.atomic_file import sync_folder

Known = dict[str, dict[str, Any]]
"""By name: `path`, resolved, and `at`, the sink's position. JSON."""


class SinkOffsets:
    """The positions of all outputs that runs with one state ever had.

    `known` is what `committed` gave when the state was stored; None where none is stored yet. `ended`: whether the run that stored it came
    to its end, so that no output can hold more of it than the state says.
    """

    def __init__(self, known: Known | None, *, ended: bool = False) -> None:
        self._known: Known = dict(known or {})
        self._ended = ended
        self._paths: dict[str, str] = {}
        self.joined = False
        """Whether an output came that the stored state does not know: it has to be stored before anything is written there, or the next
        run could not tell it from somebody else's."""

    def position(self, name: str, path: Path | None) -> tuple[Position | None, bool]:
        """Where the output goes on, None for one that begins, and whether nothing of ours can lie beyond that.

        `path`: the file or folder, None for what cannot be read again.
        """
        real = "" if path is None else str(path.resolve())
        for other, entry in self._known.items():
            if path is not None and entry["path"] == real and other != name:
                self._known[name] = self._known.pop(other)
                break
        self._paths[name] = real
        if name in self._known:
            at: Position = dict(self._known[name]["at"])
            return at, self._ended
        self.joined = True
        return None, True

    def committed(self, positions: dict[str, Position]) -> Known:
        """What is to be stored, after a commit that gave these positions."""
        self._known |= {name: {"path": self._paths[name], "at": at} for name, at in positions.items()}
        return self._known


class EndMark:
    """A file beside the state: the last run came to its end with these outputs, so that what lies beyond them is somebody else's.

    Without it the last run died, and what lies beyond is what it wrote after the last state was stored.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ended"
        self._cleared = False

    def holds(self, known: Known) -> bool:
        """Whether a run ended with the state that says this of the outputs."""
        try:
            return bool(json.loads(self._path.read_bytes()) == known)
        except (OSError, ValueError):
            return False

    def clear(self) -> None:
        """Before a run writes anything; later calls do nothing."""
        if not self._cleared and self._path.exists():
            self._path.unlink()
            sync_folder(self._path.parent)
        self._cleared = True

    def put(self, known: Known) -> None:
        """After the last state of a run is stored."""
        self._path.write_text(json.dumps(known))
