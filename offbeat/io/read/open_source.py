"""From what a person names to a source."""

from __future__ import annotations

from collections.abc import Sequence

from offbeat.core.extensions import SOURCES, find, installed, made
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.address import address_of, opened
from offbeat.io.contract import Source
from offbeat.io.read.file_source import FileSource


def open_source(plan: SourcePlan, paths: Sequence[str] = ()) -> Source:
    """What `paths` name as one source: files in the order of S2 (files, folders, globs, `-`), or one source of another package by its
    address (see `address_of`). Without any, the source that the plan names.

    Raises UserError, one line that names the file and what to do: nothing found, unreadable, wrong format, columns missing, mixed schemas.
    """
    address = next(filter(None, map(address_of, paths)), None)
    if address is not None and (":" in address.name or address.name in installed(SOURCES)):
        if len(paths) > 1:
            raise UserError(f"{address.text}: a source of another package is read alone; name no other beside it")
        return _whole(address.text, opened(SOURCES, address, plan))
    if not paths and plan.type:
        return _whole(plan.type, made(SOURCES, plan.type, find(SOURCES, plan.type), plan.settings, plan))
    if "-" in paths and plan.format not in {"auto", "ndjson", "databento"}:
        raise UserError(f"standard input is JSON lines, but the pipeline says `format: {plan.format}`; send JSON lines, or name a file")
    return FileSource(plan, paths)


def _whole(name: str, source: Source) -> Source:
    """The source of another package. Raises UserError where it lacks what every source has."""
    for attribute in ("files", "headers", "notes", "live"):
        if not hasattr(source, attribute):
            raise UserError(f"source {name}: its class has no attribute {attribute!r}")
    if not source.files or len(source.files) != len(source.headers):
        raise UserError(f"source {name}: `files` must have at least one name, and `headers` as many entries")
    return source
