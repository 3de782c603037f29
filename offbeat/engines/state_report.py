"""What a state directory holds, in figures, and whether a run can continue from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_hexdigest

from offbeat.core.state import decode
from offbeat.engines.checkpoint import stored
from offbeat.engines.closed_window_files import WINDOWS
from offbeat.errors import UserError
from offbeat.io.write.append_file import TAIL
from offbeat.io.write.part_folder import missing_part, part_name, parts_of

NAMED = 5
"""Files that are named one by one."""


def summary(directory: Path) -> dict[str, Any]:
    """What a state is and how far it has come. Raises UserError where there is none, or it cannot be read.

    `rows_in` and its parts count all rows that runs with this state have read; of standard input, the next row to send is `rows_in` + 1.
    `position`: the number of files read to their end, and those in the middle of which the last run stopped, with the rows read of them
    together. `outputs`: by name their place and how far they are.
    """
    _, document = _read(directory)
    ledger, position = dict(document.get("ledger") or {}), document["position"]
    views = ledger.pop("views", {})
    current = (position or {}).get("current")
    return {
        "pipeline": document["pipeline"],
        "offbeat_version": document["offbeat_version"],
        "plan_hash": document["plans"][-1]["plan_hash"],
        "state_hash": document["state_hash"],
        "shards": len(document["shards"]),
        **ledger,
        "alerts": document.get("alerts"),
        "views": views,
        "position": {
            "files_read": len((position or {}).get("finished", {})),
            "in_the_middle_of": [] if current is None else list(current["names"]),
            "rows_of_them": 0 if current is None else int(current["rows"]),
        }
        if position is None or "finished" in position
        else position,
        "correction_going_on": document.get("rewound") is not None,
        "outputs": {name: {"path": entry["path"], **_extent(entry["at"])} for name, entry in sorted(document["sinks"].items())},
    }


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """The figures of `summary` for people."""
    aside = sum(figures.get("quarantined", {}).values())
    shards = f"{figures['shards']} shard{'s' * (figures['shards'] != 1)}"
    yield f"pipeline:  {figures['pipeline']} (offbeat {figures['offbeat_version']}, {shards})"
    if "rows_in" in figures:
        parts = [(name.replace("_", " "), figures[name]) for name in _PARTS if name in figures]
        told = ", ".join(f"{n:,} {name}" for name, n in [*parts, ("quarantined", aside)] if n)
        yield f"rows:      {figures['rows_in']:,}" + (f": {told}" if told else "")
        yield f"pending:   {figures['pending']:,} (held back for order, candidates, rows of open windows; they wait for the next run)"
    if figures["alerts"] is not None:
        yield f"alerts:    {figures['alerts']:,} so far"
    yield from _place(figures["position"], figures.get("rows_in"))
    if figures["correction_going_on"]:
        yield "           files are being read again because some were corrected; the next run goes on with that"
    for name, entry in figures["outputs"].items():
        extent = ", ".join(f"{value:,} {unit}" for unit, value in entry.items() if unit != "path")
        yield f"output:    {entry['path'] or name}" + (f" ({extent})" if extent else "")


_PARTS = ("scored", "warming_up", "late", "duplicate", "filtered", "pending")


def _place(position: dict[str, Any], rows: int | None) -> Iterator[str]:
    if "files_read" not in position:
        yield f"position:  {position}"
    elif position["in_the_middle_of"]:
        middle = ", ".join(position["in_the_middle_of"][:NAMED])
        yield f"position:  {position['files_read']:,} files read, and {position['rows_of_them']:,} rows of {middle}"
    elif position["files_read"]:
        yield f"position:  {position['files_read']:,} file{'s' * (position['files_read'] != 1)} read to the end"
    elif rows is not None:
        yield f"position:  after row {rows:,} of standard input; the next row to send is row {rows + 1:,}"


def problems(directory: Path) -> list[str]:
    """What keeps a run from continuing, a line each with what can be done; empty where nothing does."""
    try:
        _, document = _read(directory)
    except UserError as error:
        return [str(error)]
    found = [*_windows(directory, document), *_outputs(document)]
    position = document["position"] or {}
    current = position.get("current")
    gone = [path for path in ([] if current is None else current["names"]) if not Path(path).exists()]
    return found + [
        f"{path}: the last run stopped in the middle of it, and it is gone; put it back, or run with --rebuild" for path in gone
    ]


def _read(directory: Path) -> tuple[Any, dict[str, Any]]:
    if not directory.is_dir():
        raise UserError(f"{directory}: no such state directory")
    found = stored(directory)
    if found is None:
        raise UserError(f"{directory} holds no state; a run with --state {directory} begins one")
    return found


def _windows(directory: Path, document: dict[str, Any]) -> Iterator[str]:
    for view in document["merge"].get("views", {}).values():
        for *_, name in view.get("closed", []):
            path = directory / WINDOWS / str(name)
            try:
                decode(path.read_bytes(), str(path))
            except FileNotFoundError:
                yield f"{path}: closed windows are missing; restore the file, or run with --rebuild"
            except UserError as error:
                yield str(error)


def _outputs(document: dict[str, Any]) -> Iterator[str]:
    for name, entry in document["sinks"].items():
        path, at = Path(entry["path"]), entry["at"]
        if not entry["path"]:
            continue
        if "bytes" in at and (why := _cut(path, at)):
            yield f"{path}: {why}; restore it, or run with --append, which goes on after what is there"
        elif "parts" in at and (part := missing_part(parts_of(path), at.get("first", 1), at["parts"])) is not None:
            what = f"{part_name(part)} is missing"
            yield f"{path}: {what} ({name}); restore it, or run with --append, which goes on after what is there"


def _cut(path: Path, at: dict[str, Any]) -> str:
    n = int(at["bytes"])
    if not n or not path.exists() or not path.is_file():
        return "is missing" if n and not path.exists() else ""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        if length < n:
            return f"has {length:,} of {n:,} bytes"
        file.seek(max(n - TAIL, 0))
        tail = file.read(min(n, TAIL))
    return "its content has changed" if "tail" in at and xxh3_64_hexdigest(tail) != at["tail"] else ""


def _extent(at: dict[str, Any]) -> dict[str, int]:
    return {unit: int(at[unit]) for unit in ("bytes", "parts", "rows") if unit in at}
