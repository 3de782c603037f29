"""Episodes as a file: whole, and replaced in one step whenever they are written anew."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from offbeat.errors import UserError
from offbeat.io.write.atomic_file import whole_file
from offbeat.io.write.jsonl_sink import json_lines

FIRST = "episode_id"
"""The first column."""
_JSONL = {".jsonl", ".ndjson"}
_PARQUET = {".parquet", ".pq"}


def check_episode_file(path: Path) -> Path:
    """The path itself. Raises UserError for a kind of file that episodes are not written to, and for one that holds something else."""
    if path.suffix.lower() not in _JSONL | _PARQUET:
        raise UserError(f"cannot write episodes to {path}: name a file *.jsonl, *.ndjson or *.parquet")
    if path.is_dir():
        raise UserError(f"cannot write episodes to {path}: it is a folder; name a file")
    if path.is_file() and path.stat().st_size and not _holds_episodes(path):
        raise UserError(f"cannot write episodes to {path}: it holds something else; name another file")
    return path


def _holds_episodes(path: Path) -> bool:
    try:
        if path.suffix.lower() in _PARQUET:
            return FIRST in pq.read_schema(path).names
        with path.open("rb") as file:
            return file.read(len(FIRST) + 3).startswith(b'{"%s"' % FIRST.encode())
    except (OSError, pa.ArrowInvalid):
        return False


def write_episodes(path: Path, episodes: pa.Table) -> None:
    """Put the episodes (see `episode_table`) in the place of what the file held. Raises UserError where it cannot be written."""
    with whole_file(check_episode_file(path), durable=True) as file:
        if path.suffix.lower() in _JSONL:
            file.write(json_lines(episodes))
        else:
            pq.write_table(episodes, file, compression="zstd", store_schema=False)
