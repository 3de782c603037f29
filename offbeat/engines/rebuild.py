"""A state and outputs put aside, so that a run can make them again from its sources."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from offbeat.engines.checkpoint import Checkpoint
from offbeat.errors import UserError
from offbeat.io.write.part_folder import part_files


def set_aside(directory: Path, outputs: Sequence[Path]) -> list[str]:
    """Rename a state directory, and those outputs that hold something; a line for each. Raises UserError where a run is using them."""
    told: list[str] = []
    if directory.is_dir():
        Checkpoint.free(directory)
    for path in (directory, *outputs):
        if _empty(path):
            continue
        try:
            aside = next(place for n in count(1) if not (place := path.with_name(f"{path.name}.before-rebuild-{n}")).exists())
            path.rename(aside)
        except OSError as error:
            raise UserError(f"cannot move {path} away: {error.strerror}") from error
        told.append(f"{path} is kept as {aside}")
    return told


def _empty(path: Path) -> bool:
    if path.is_dir():
        return not any(path.iterdir()) or (path.suffix in {".parquet", ".pq"} and not part_files(path))
    return not path.is_file() or path.stat().st_size == 0
