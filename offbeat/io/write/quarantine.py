"""Rows that were not judged, kept with their original text: listed by reason, and written back as a source that can be run again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from offbeat.core.chunk import Position
from offbeat.decide.block import Quarantined
from offbeat.errors import UserError
from offbeat.io.contract import Sink
from offbeat.io.write.arrow_arrays import TIME, WORD, Array, integers, times, words
from offbeat.io.write.atomic_file import cannot_write
from offbeat.io.write.parquet_sink import Layout, ParquetSink
from offbeat.io.write.part_folder import part_files

QUARANTINE = pa.schema(
    [
        pa.field("reason", WORD),
        pa.field("file", WORD),
        pa.field("row", pa.int64()),
        pa.field("key", pa.string()),
        pa.field("time", TIME),
        pa.field("raw", pa.string()),
        pa.field("header", WORD),
        pa.field("detail", pa.string()),
    ]
)
_READ: dict[str, Any] = {field.name: pl.String for field in QUARANTINE} | {"row": pl.Int64, "time": pl.Datetime("ns", "UTC")}
_LAYOUT = Layout(repeated=("reason", "file", "key", "header"), sought=("time",))
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
_BATCH = 65_536


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote."""

    files: list[Path]
    rows: int
    left_out: int
    """Rows whose original text is not kept (empty)."""


def open_quarantine(
    path: str | Path, *, position: Position | None = None, bounded: bool = True, append: bool = False, whole: bool = False
) -> Sink:
    """A sink for `quarantine_table`s: one Parquet file for a bounded run, else a folder of committed parts (as `sinks.open_sink`)."""
    return ParquetSink(Path(path), position, bounded=bounded, schema=QUARANTINE, layout=_LAYOUT, append=append, whole=whole)


def quarantine_table(block: Quarantined, files: Sequence[str], headers: Sequence[str | None]) -> pa.Table:
    """The m rows as reason, file, row, key, time, raw, header, detail.

    `files` and `headers` are by the index in `block.files`; a header is the file's line of column names as it stands there, None where
    it has none or its rows name their columns themselves (NDJSON, Parquet).
    """
    return pa.Table.from_arrays(
        [
            _coded(block.reasons),
            words(block.files, list(files)),
            integers(block.rows, pa.int64()),
            _texts(block.keys),
            times(block.time_ns),
            _texts(block.raw),
            _headers(block, headers),
            _texts([detail or None for detail in block.details or [""] * len(block.reasons)]),
        ],
        schema=QUARANTINE,
    )


def counts(path: str | Path) -> pl.DataFrame:
    """Rows and files by reason, the most frequent first: reason, rows, files."""
    grouped = _scan(path).group_by("reason").agg(rows=pl.len(), files=pl.col("file").n_unique())
    return grouped.sort("rows", "reason", descending=[True, False]).collect(engine="streaming")


def listed(path: str | Path, *, reasons: Sequence[str] = (), limit: int = 20) -> pl.DataFrame:
    """The first `limit` rows with one of `reasons` (all without any): reason, file, row, key, time, raw, detail."""
    rows = _scan(path)
    if reasons:
        rows = rows.filter(pl.col("reason").is_in(_known(path, reasons)))
    return rows.select("reason", "file", "row", "key", "time", "raw", "detail").head(limit).collect()


def export(path: str | Path, folder: str | Path, *, reasons: Sequence[str] = ()) -> Exported:
    """Write the original rows with one of `reasons` (all without any) to `folder`, one file per source file, to be fixed and run again.

    Files keep their names, as a key may stand in them (without .gz or .zst: they are plain text), and their header line; equal names from
    different folders go to numbered folders. Rows of Parquet sources become NDJSON. Memory does not grow with the rows. Raises UserError
    where `folder` has files in it already or cannot be written.
    """
    wanted = set(_known(path, reasons)) if reasons else None
    target = Path(folder)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UserError(f"cannot export to {target}: it is not an empty folder; name a new one")
        target.mkdir(parents=True, exist_ok=True)
        return _export(path, target, wanted)
    except OSError as error:
        raise cannot_write(target, error) from error


def _export(path: str | Path, target: Path, wanted: set[str] | None) -> Exported:
    places: dict[str, Path] = {}
    rows = left_out = 0
    for batch in _batches(path):
        chosen = batch if wanted is None else batch.filter(pl.col("reason").is_in(wanted))
        kept = chosen.filter(pl.col("raw") != "")
        left_out += chosen.height - kept.height
        rows += kept.height
        for part in kept.partition_by("file", maintain_order=True):  # rows of many files may alternate; each is opened once a batch
            source, header = part["file"][0] or "rows", part["header"][0]
            new = source not in places
            if new:
                places[source] = _free(target, source, part["raw"][0], header, taken=set(places.values()))
                places[source].parent.mkdir(parents=True, exist_ok=True)
            with places[source].open("a", encoding="utf-8", newline="") as out:
                if new and header is not None:
                    out.write(header.rstrip("\r\n") + "\n")
                out.write("\n".join(part["raw"]) + "\n")
    return Exported(list(places.values()), rows, left_out)


def _batches(path: str | Path) -> Iterator[pl.DataFrame]:
    for part in _files(path):
        with pq.ParquetFile(part) as opened:
            for batch in opened.iter_batches(_BATCH, columns=["reason", "file", "raw", "header"]):
                yield pl.DataFrame(batch)


def _free(target: Path, source: str, raw: str, header: str | None, *, taken: set[Path]) -> Path:
    """Where the rows of `source` go: its own name, in a numbered folder where another source has it.

    Folders that hold columns (`day=1/`) are kept: the rows do not have them.
    """
    columns = [part.replace("\0", "_") for part in source.split("/")[:-1] if "=" in part]
    target = target.joinpath(*columns)
    name = Path(source.rsplit("/", 1)[-1] or "rows").name.replace("\0", "_")
    while name.lower().endswith(_COMPRESSED):
        name = name.rsplit(".", 1)[0]
    if header is None and _is_object(raw):
        name = (name.rsplit(".", 1)[0] or name) + (Path(name).suffix if Path(name).suffix in {".ndjson", ".jsonl"} else ".ndjson")
    name = "rows" if name in {"", ".", "..", "-"} else name
    place, number = target / name, 2
    while place in taken:
        place, number = target / str(number) / name, number + 1
    return place


def _is_object(raw: str) -> bool:
    try:
        return isinstance(json.loads(raw), dict)
    except ValueError:
        return False


def _scan(path: str | Path) -> pl.LazyFrame:
    # Parts that an earlier version wrote have no details.
    return pl.scan_parquet(_files(path), schema=_READ, missing_columns="insert")


def _files(path: str | Path) -> list[Path]:
    place = Path(path)
    if not place.exists():
        raise UserError(f"no quarantine at {place}: it does not exist")
    files = part_files(place) if place.is_dir() else [place]
    try:
        if not files or any(pq.read_schema(file).names not in (QUARANTINE.names, QUARANTINE.names[:-1]) for file in files):
            raise UserError(f"{place} is not a quarantine that offbeat wrote" if files else f"{place} holds no quarantined rows")
    except OSError as error:
        raise UserError(f"cannot read {place}: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise UserError(f"{place} is not a quarantine that offbeat wrote") from error
    return files


def _known(path: str | Path, reasons: Sequence[str]) -> list[str]:
    known = counts(path)["reason"].to_list()
    unknown = [reason for reason in reasons if reason not in known]
    if unknown:
        raise UserError(f"no quarantined rows with reason {', '.join(unknown)}; reasons are {', '.join(known) or 'none'}")
    return list(reasons)


def _coded(texts: Sequence[str]) -> Array:
    distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return words(np.fromiter((distinct[text] for text in texts), np.int32, len(texts)), list(distinct))


def _headers(block: Quarantined, headers: Sequence[str | None]) -> Array:
    codes = np.array([i if header is not None else -1 for i, header in enumerate(headers)] + [-1], dtype=np.int32)
    return words(codes[block.files], ["" if header is None else header for header in headers])


def _texts(texts: Sequence[str | None]) -> Array:
    try:
        array: Array = pa.array(texts, pa.string())
    except UnicodeEncodeError:  # bytes that were no UTF-8 came as surrogates: shown as \udcff, since a text cannot hold them
        plain = [t if t is None else t.encode("utf-8", "backslashreplace").decode() for t in texts]
        array = pa.array(plain, pa.string())
    return array
