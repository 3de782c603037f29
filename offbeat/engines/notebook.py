"""`offbeat.run`: a whole run in one call, for scripts and notebooks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from offbeat.engines.cadence import with_cadence
from offbeat.engines.delivery import table_of
from offbeat.engines.local import COMMIT_SECONDS, LocalEngine, cores
from offbeat.engines.run_result import Run
from offbeat.errors import UserError
from offbeat.io.contract import Source
from offbeat.io.read.alert_files import latest, read_alerts, typed
from offbeat.io.read.alert_query import by_rank
from offbeat.io.read.frame import FrameSource
from offbeat.io.read.open_source import open_source
from offbeat.io.report.flat_alerts import alerts_flat
from offbeat.io.write.episode_table import SCHEMA as EPISODES
from offbeat.io.write.episode_table import episode_table
from offbeat.io.write.list_files import KINDS, write_list
from offbeat.io.write.schema_union import fitted, plan_schema
from offbeat.io.write.sinks import local_path
from offbeat.spec.load import load_plan


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What a run gave."""

    run: Run
    outputs: tuple[str, ...]
    kept: pl.DataFrame | None
    zone: str

    def __repr__(self) -> str:
        ledger = self.run.ledger
        aside = ledger.late + sum(ledger.quarantined.values())
        counts = f"{ledger.rows_in:,} rows, {self.run.alerts:,} alerts, {aside:,} quarantined"
        return f"<{self.run.pipeline}: {counts}, {self.run.seconds:.1f} s>"

    @property
    def alerts(self) -> pl.DataFrame:
        """The alerts, one row each (of its greatest revision), as the sinks write them; read from the first output where there is one."""
        return self.kept if self.kept is not None else latest(read_alerts(_files(self.outputs)[0]))

    @property
    def episodes(self) -> pl.DataFrame:
        """The alerts in episodes, one row each: those close in time of one key, or as the pipeline's `episodes` groups them.

        Columns as in `episode_table`. Empty for a live source.
        """
        look = self.run.look
        return pl.DataFrame(EPISODES.empty_table() if look is None else episode_table(look()))

    @property
    def alerts_flat(self) -> pl.DataFrame:
        """The alerts as a flat table, the worst first: what fired, observed, expected, times in the pipeline's zone, and the judged row.

        See `write_alerts` for a file that a spreadsheet opens without harm.
        """
        return alerts_flat(by_rank(self.alerts.filter(pl.col("status") != "retracted")), self.zone)

    def write_alerts(self, path: str | Path) -> None:
        """Write `alerts_flat` to a file: .csv, .xlsx, .parquet or .json. A text that would be a formula is written as text.

        Raises UserError for another kind of file, and where it cannot be written.
        """
        kind = Path(path).suffix.lower().removeprefix(".")
        if kind not in KINDS:
            raise UserError(f"cannot tell the format of {str(path)!r}; supported are {', '.join(f'*.{name}' for name in KINDS)}")
        write_list(self.alerts_flat, kind, str(path))

    @property
    def ledger(self) -> dict[str, Any]:
        """Where every row went; the parts sum to `rows_in`."""
        return self.run.ledger.as_dict()

    @property
    def notes(self) -> list[str]:
        """What else the run has to say, such as files that were left out."""
        return [*self.run.warnings, *self.run.notes]

    @property
    def gaps(self) -> pl.DataFrame | None:
        """Missing sessions and rows by key; None for a pipeline without a cadence."""
        return self.run.gaps


def run(
    pipeline: Any,
    source: Any = (),
    *,
    alerts: str | Path | Sequence[str | Path] = (),
    tables: str | Path | Sequence[str | Path] = (),
    quarantine: str | Path | None = None,
    state: str | Path | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    episodes: str | Path | None = None,
    mutes: str | Path | None = None,
) -> Result:
    """Judge every row of a source and return the alerts.

    pipeline: a shipped name (`"bars"`), the path of a YAML file, a mapping, or a `PipelineSpec`. source: a path, folder or glob, a list of
    these, or a table (Polars, pandas, Arrow) with the columns that the pipeline names; nothing where the pipeline names a source itself.
    alerts: outputs (`out.parquet`, `out.jsonl`); without any, alerts are kept in memory. tables: outputs of the pipeline's tables, a folder
    for Parquet, or `delta:` and a folder. state: a directory that lets the next call go on where this one ended. workers: shards that keys
    are spread over, side by side (default: one a core); alerts are the same for any number. overrides: as `--set`,
    `"bar.price_jump.when=…"`. episodes: a file that gets the episodes, too (`episodes.parquet`, `episodes.jsonl`). mutes: a file of
    what is known already, in the place of the pipeline's own.

    Raises SpecError for a wrong pipeline and UserError for an input or output that cannot be used.
    """
    plan = load_plan(pipeline, overrides)
    outputs = _uris(alerts)
    reader: Source
    if isinstance(source, str | Path):
        reader = open_source(plan.source, [str(source)])
    elif isinstance(source, list | tuple):
        reader = open_source(plan.source, [str(path) for path in source])
    elif state is not None:
        raise UserError("a table in memory has no position to resume from; pass files, or no `state`")
    else:
        reader = FrameSource(plan.source, source)
    directory = Path(state) if state is not None else None
    plan = with_cadence(plan, lambda known: load_plan(pipeline, (*overrides, known)), reader, directory)
    engine = LocalEngine(
        plan,
        reader,
        alerts=outputs,
        tables=_uris(tables),
        quarantine=Path(quarantine) if quarantine is not None else None,
        state=directory,
        episodes=Path(episodes) if episodes is not None else None,
        mutes=Path(mutes) if mutes is not None else None,
        keep=not _files(outputs),
        live=reader.live,
        workers=workers or cores(),
        commit_seconds=COMMIT_SECONDS if outputs else math.inf,  # what is in memory alone must not count as delivered before the end
    )
    done = engine.run()
    kept = None
    if not _files(outputs):
        schema = plan_schema(plan)
        made = [fitted(table_of(plan, block), schema) for block in done.blocks]
        kept = latest(typed(pl.DataFrame(pa.concat_tables(made) if made else schema.empty_table())))
    return Result(done, outputs, kept, plan.zone)


def _files(outputs: Sequence[str]) -> list[str]:
    """Outputs that can be read back."""
    return [uri for uri in outputs if local_path(uri) is not None]


def _uris(outputs: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    return tuple(str(uri) for uri in ((outputs,) if isinstance(outputs, str | Path) else outputs))
