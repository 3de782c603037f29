"""`offbeat generate`: synthetic data with planted anomalies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.cli.generate_cdr import CDR_EXAMPLES, cdr
from offbeat.errors import UserError

BARS_EXAMPLES = """\b
Examples:
  offbeat generate bars --out bars
  offbeat generate bars --symbols 25 --days 250 --seed 7 --out many
"""
TRADES_EXAMPLES = """\b
Examples:
  offbeat generate trades --out trades.csv
  offbeat generate trades --rows 5000000 --symbols 20 --out many.csv.zst
  offbeat generate trades --seed 7 --out trades.parquet --labels labels.csv
"""

EXAMPLES = """\b
Examples:
  offbeat generate bars --out bars
  offbeat generate trades --out trades.csv
  offbeat generate cdr --out calls
"""

generate = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Generate synthetic data with labelled anomalies.", epilog=EXAMPLES
)


@generate.command("bars", epilog=BARS_EXAMPLES)
def bars(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Output folder.", show_default=False)],
    symbols: Annotated[int, typer.Option(min=1, metavar="N", help="Stocks, one file each.")] = 5,
    days: Annotated[int, typer.Option(min=2, metavar="N", help="Trading days, 375 minutes each.")] = 20,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed; the same seed gives the same bytes.")] = 1,
) -> None:
    """Generate minute bars like those of an Indian exchange.

    The files fit the shipped pipeline `bars`. _labels.parquet lists the planted anomalies.
    """
    from offbeat.cli.say import put
    from offbeat.evaluate.generate_bars import generate_bars

    try:
        folder = generate_bars(out, symbols=symbols, days=days, seed=seed)
    except ValueError as error:
        raise UserError(f"cannot generate bars: {error}") from error
    except OSError as error:
        raise UserError(f"cannot write to {out}: {'it is a file' if out.is_file() else error.strerror or error}") from error
    put(f"{symbols:,} file{'s' * (symbols != 1)} of {days:,} trading days in {folder}")


@generate.command("trades", epilog=TRADES_EXAMPLES)
def trades(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Output file: .csv, .csv.gz, .csv.zst or .parquet.", show_default=False)
    ],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labels file: .parquet or .csv.", show_default="_NAME_labels.parquet beside it"),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="Number of trades.")] = 1_000_000,
    symbols: Annotated[int, typer.Option(min=1, metavar="N", help="Number of stocks.")] = 5,
    every: Annotated[int, typer.Option(min=1_000, metavar="N", help="Trades of a stock per anomaly.")] = 2_000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed; the same seed gives the same bytes.")] = 1,
) -> None:
    """Generate stock trades with Databento's columns.

    The file is in time order and fits the shipped pipeline `trades`. Anomalies are price spikes, size spikes, bursts, stuck prices and
    one-sided runs, none within the first 2,000 trades of a stock. The labels give key, kind, and time and sequence of the first and last
    trade.
    """
    from offbeat.cli.first_start import tell_of_compiling
    from offbeat.cli.progress import Meter
    from offbeat.cli.say import put, say
    from offbeat.cli.terminal import console
    from offbeat.engines.run_result import Progress
    from offbeat.evaluate.generate_trades import check_sizes, generate_trades
    from offbeat.evaluate.trade_process import simulate

    meter = Meter(console(stderr=True), live=False, found="anomalies")

    def show(made: int, anomalies: int) -> None:
        meter(Progress(made, anomalies, made, rows))

    where = labels or out.with_name(f"_{out.name.split('.')[0]}_labels.parquet")
    try:
        check_sizes(out, where, rows=rows, symbols=symbols, every=every)
        tell_of_compiling(simulate, 5)
        made = generate_trades(out, where, rows=rows, symbols=symbols, seed=seed, every=every, progress=show)
    except ValueError as error:
        raise UserError(f"cannot generate trades: {error}") from error
    except OSError as error:
        raise UserError(f"cannot write to {out} and {where}: {error.strerror or error}") from error
    finally:
        meter.close()
    if made.anomalies == 0:
        say("no anomalies: too few trades per stock; give more --rows or fewer --symbols")
    stocks = f"{symbols:,} stock{'s' * (symbols != 1)}"
    put(f"{made.rows:,} trades of {stocks} on {made.days:,} days in {out}; {made.anomalies:,} anomalies in {where}")


generate.command("cdr", epilog=CDR_EXAMPLES)(cdr)
