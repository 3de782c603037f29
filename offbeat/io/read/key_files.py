"""Files that people keep about keys: what is muted, and which group each belongs to. CSV, Parquet or, for mutes, YAML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from offbeat.core.episode_plan import GroupFile, MutePlan
from offbeat.core.key_spellings import plain_keys
from offbeat.errors import UserError
from offbeat.spec.document import read_document
from offbeat.spec.episode_models import MuteSpec
from offbeat.spec.episode_plans import mute_plan
from offbeat.spec.nearest import nearest

_PARQUET = {".parquet", ".pq"}
_YAML = {".yaml", ".yml"}


def read_mutes(path: Path) -> tuple[MutePlan, ...]:
    """The mutes of a file, in its order: columns `key`, `reason` and perhaps `view`, `since` and `until`; or a YAML list of such mappings.

    Raises UserError with file, row, column and value for what cannot be understood.
    """
    rows = _of_yaml(path) if path.suffix.lower() in _YAML else _of_table(path)
    return tuple(_mute(where, row) for where, row in rows)


def read_groups(file: GroupFile) -> tuple[tuple[str, str], ...]:
    """(key, group) of each row of a file. Raises UserError where it cannot be read, or gives a key two groups."""
    what = f"{file.source} (groups of episodes)"
    frame = _table(Path(file.source), what)
    for name in (file.key, file.value):
        if name not in frame.columns:
            raise UserError(f"{what} has no column {name!r}{nearest(name, frame.columns)}")
    pairs = pl.DataFrame({"key": plain_keys(frame[file.key]), "group": plain_keys(frame[file.value])})
    pairs = pairs.drop_nulls().unique(maintain_order=True)
    twice = pairs["key"].filter(pairs["key"].is_duplicated())
    if len(twice):
        raise UserError(f"{what}: key {twice[0]!r} has two groups in column {file.value!r}")
    return tuple(pairs.iter_rows())


def _of_yaml(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        document = read_document(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise _missing(path, f"{path} (mutes)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read mutes from {path}: {getattr(error, 'strerror', None) or error}") from error
    if document.problems:
        _, line, message = document.problems[0]
        raise UserError(f"{path}:{line}: {message}")
    value = document.value
    if isinstance(value, dict) and list(value) == ["mutes"]:
        value = value["mutes"]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise UserError(f"{path}: mutes are a list of mappings such as {{key: SIM-*, reason: test SIMs, until: 2024-06-30}}")
    return [(f"{path}, mute {number}", row) for number, row in enumerate(value, start=1)]


def _of_table(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    frame = _table(path, f"{path} (mutes)")
    for name in frame.columns:
        if name not in MuteSpec.model_fields:
            raise UserError(f"{path}: column {name!r} is none of a mute's{nearest(name, MuteSpec.model_fields)}")
    frame = frame.with_columns(plain_keys(frame["key"])) if "key" in frame.columns else frame
    return [(f"{path}, row {number}", _filled(row)) for number, row in enumerate(frame.iter_rows(named=True), start=1)]


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _text(value) for name, value in row.items() if value is not None and value != ""}


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value


def _mute(where: str, row: Mapping[str, Any]) -> MutePlan:
    try:
        return mute_plan(MuteSpec.model_validate(row))
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise UserError(f"{where}: `{column}` is missing; a mute needs key and reason") from error
        if first["type"] == "extra_forbidden":
            raise UserError(f"{where}: {column!r} is none of a mute's{nearest(column, MuteSpec.model_fields)}") from error
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {column + ': ' if column else ''}{message}") from error


def _table(path: Path, what: str) -> pl.DataFrame:
    if not path.is_file():
        raise _missing(path, what)
    try:
        if path.suffix.lower() in _PARQUET:
            return pl.read_parquet(path, glob=False)
        # Keys are text as they are written: 007 is not 7.
        return pl.read_csv(path, glob=False, infer_schema=False)
    except pl.exceptions.NoDataError:
        raise UserError(f"{what} is empty: not even a line of column names") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{what} cannot be read: {str(error).splitlines()[0]}") from error


def _missing(path: Path, what: str) -> UserError:
    return UserError(f"{what} {'is a folder, not a file' if path.is_dir() else 'does not exist'}")
