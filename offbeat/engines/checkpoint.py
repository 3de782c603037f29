"""The state directory: source position, fold and sinks as one pair, replaced in one step [S24]."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from offbeat._version import __version__
from offbeat.core.plan import Plan
from offbeat.core.state import Arrays, Document, decode, store
from offbeat.errors import UserError

_NAME = "state.arrow"
_MODELS = "models"
"""Folder of models for a detector's `model` [S15]; a run never reads its own."""


_NEEDED = ("pipeline", "state_hash", "state_parts", "offbeat_version", "position", "shards", "merge", "sinks", "plans")


def stored(directory: Path) -> tuple[Arrays, Document] | None:
    """The last state in a directory, whatever pipeline it is of; None where there is none. Raises UserError where it is damaged."""
    path = directory / _NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; restore it, or read all sources again with --rebuild") from error
    arrays, document = decode(data, str(path))
    lacks = [name for name in _NEEDED if name not in document]
    if lacks:
        raise UserError(f"{path}: not the state of a run (it has no {', '.join(lacks)}); restore it, or run with --rebuild")
    return arrays, document


class Checkpoint:
    """One pipeline's state in a directory of its own; locked against a second run."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self._plan = plan
        self._path = directory / _NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = (directory / "lock").open("w")
        except OSError as error:
            why = "it is a file" if directory.is_file() else error.strerror
            raise UserError(f"cannot use {directory} as a state directory: {why}; name one you can write to") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise UserError(f"{directory} is in use by another run; wait for that run, or name another state directory") from error

    def load(self) -> tuple[Arrays, Document] | None:
        """The last state, or None at the first run. Raises UserError where it belongs to another pipeline or is damaged."""
        found = stored(self._path.parent)
        if found is None:
            return None
        arrays, document = found
        if document["pipeline"] != self._plan.name:
            raise UserError(
                f"{self._path.parent} holds the state of pipeline {document['pipeline']!r}, not of {self._plan.name!r};"
                " name another directory"
            )
        if document["state_hash"] != self._plan.state_hash:
            kept, now = document["state_parts"], self._plan.state_parts
            differ = sorted(part for part in kept.keys() | now.keys() if kept.get(part) != now.get(part)) or ["version of offbeat"]
            raise UserError(
                f"{self._path.parent}: the state was made with another {', '.join(differ)}; change it back, or name a new state directory"
                " (thresholds, votes and outputs may change, the rest may not)"
            )
        return arrays, document

    def save(self, arrays: Arrays, document: Document) -> None:
        """Replace the state in one step; durable when this returns."""
        document = document | {
            "pipeline": self._plan.name,
            "state_hash": self._plan.state_hash,
            "state_parts": self._plan.state_parts,
            "offbeat_version": __version__,
        }
        partial = self._path.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                store(file, arrays, document)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise UserError(f"cannot write the state to {self._path}: {error.strerror}; the last committed state is still valid") from error

    def keep_models(self, models: Mapping[str, bytes]) -> None:
        """Put models of all keys, by name, where other runs may take them from; see `_MODELS`."""
        for name, data in models.items():
            path = self._path.parent / _MODELS / f"{name}.arrow"
            try:
                path.parent.mkdir(exist_ok=True)
                partial = path.with_suffix(".partial")
                partial.write_bytes(data)
                partial.replace(path)
            except OSError as error:
                raise UserError(f"cannot write the model to {path}: {error.strerror}") from error

    @staticmethod
    def free(directory: Path) -> None:
        """Raise UserError where a run is using a directory."""
        try:
            with (directory / "lock").open("a") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{directory} is in use by another run; wait for that run") from error
        except OSError as error:
            raise UserError(f"cannot use {directory}: {error.strerror}") from error

    def close(self) -> None:
        """Release the directory."""
        self._lock.close()
