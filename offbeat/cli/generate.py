"""`offbeat generate`: made-up data with planted anomalies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.errors import UserError

EXAMPLES = """\b
Examples:
  offbeat generate bars --out bars
  offbeat generate bars --symbols 25 --days 250 --seed 7 --out many
"""

generate = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make up data with planted, labelled anomalies.")


@generate.callback()
def _kinds() -> None:
    """Keeps `bars` a command of its own as long as it is the only one."""


@generate.command("bars", epilog=EXAMPLES)
def bars(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the files go.", show_default=False)],
    symbols: Annotated[int, typer.Option(min=1, metavar="N", help="Stocks, a file each.")] = 5,
    days: Annotated[int, typer.Option(min=2, metavar="N", help="Trading days of 375 minutes.")] = 20,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Equal seeds give equal bytes.")] = 1,
) -> None:
    """Write minute bars like those of an Indian exchange, and beside them what was planted where.

    The files fit the shipped pipeline `bars`; _labels.parquet names the planted anomalies.
    """
    from offbeat.cli.say import put
    from offbeat.evaluate.generate_bars import generate_bars

    try:
        folder = generate_bars(out, symbols=symbols, days=days, seed=seed)
    except ValueError as error:
        raise UserError(f"cannot make such bars: {error}") from error
    except OSError as error:
        raise UserError(f"cannot write to {out}: {'it is a file' if out.is_file() else error.strerror or error}") from error
    put(f"{symbols:,} file{'s' * (symbols != 1)} of {days:,} trading days in {folder}")
