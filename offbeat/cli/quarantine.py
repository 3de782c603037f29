"""`offbeat quarantine`: quarantined rows, listed and exported to be repaired and run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LIST_EXAMPLES = """\b
Examples:
  offbeat quarantine list alerts.jsonl.quarantine.parquet
  offbeat quarantine list state/quarantine.parquet --reason late --limit 100
"""
EXPORT_EXAMPLES = """\b
Examples:
  offbeat quarantine export alerts.jsonl.quarantine.parquet --out repaired
  # Only some reasons
  offbeat quarantine export q.parquet --reason missing --reason late --out fix
  # Then repair the files in the folder and run them
  offbeat run bars repaired --alerts repaired.jsonl
"""

EXAMPLES = """\b
Examples:
  offbeat quarantine list alerts.jsonl.quarantine.parquet
  offbeat quarantine export alerts.jsonl.quarantine.parquet --out repaired
"""

quarantine = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List quarantined rows, or export them for repair.", epilog=EXAMPLES
)

_Path = Annotated[Path, typer.Argument(metavar="PATH", help="The quarantine of a run.", show_default=False)]
_Reasons = Annotated[list[str] | None, typer.Option("--reason", metavar="REASON", help="Only rows with this reason. Repeatable.")]


@quarantine.command("list", epilog=LIST_EXAMPLES)
def list_rows(
    path: _Path,
    reason: _Reasons = None,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Number of rows to show.")] = 20,
) -> None:
    """List quarantined rows by reason.

    Shows the number of rows per reason, and the first rows with their original text.
    """
    from offbeat.cli.terminal import console, show
    from offbeat.io.report.run_report import quarantine_tables
    from offbeat.io.write.quarantine import counts, listed

    show(quarantine_tables(counts(path), listed(path, reasons=tuple(reason or ()), limit=limit)), console())


@quarantine.command("export", epilog=EXPORT_EXAMPLES)
def export_rows(
    path: _Path,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="A new or empty folder.", show_default=False)],
    reason: _Reasons = None,
) -> None:
    """Export quarantined rows for repair.

    Writes the original rows to files with their own names and headers. Repair them there, then run them.
    """
    from offbeat.cli.say import put
    from offbeat.io.write.quarantine import export

    done = export(path, out, reasons=tuple(reason or ()))
    for file in done.files:
        put(str(file))
    left = f"; {done.left_out:,} without original text skipped" if done.left_out else ""
    put(f"{done.rows:,} row{'s' * (done.rows != 1)} in {len(done.files):,} file{'s' * (len(done.files) != 1)} under {out}{left}")
