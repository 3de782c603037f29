"""`offbeat generate cdr`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.errors import UserError

CDR_EXAMPLES = """\b
Examples:
  offbeat generate cdr --out calls
  offbeat generate cdr --rows 30000000 --days 90 --customers 200000 --out many
  offbeat generate cdr --zone UTC --sim-box 0.01 --surges 0 --out calls
"""


def cdr(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.", show_default=False)],
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="Number of records.")] = 3_000_000,
    days: Annotated[int, typer.Option(min=1, metavar="N", help="Days from 2024-01-01 on. Anomalies need at least 24.")] = 60,
    customers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of customers.", show_default="one per 12 records a day")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed; the same seed gives the same bytes.")] = 1,
    zone: Annotated[str, typer.Option(metavar="ZONE", help="Zone of days and nights. Times in the files are UTC.")] = "Africa/Algiers",
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Threads.", show_default="one per processor")] = None,
    sim_box: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Customers with one or two days of very many calls.")
    ] = 0.001,
    night_owl: Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Customers busy for one to three nights.")] = 0.001,
    exfiltration: Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Customers with one huge session.")] = 0.001,
    slow_drift: Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Customers whose volume grows day by day.")] = 0.001,
    sensors: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Customers that are sensors, with one record an hour.")
    ] = 0.002,
    dead_sensor: Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Sensors that fall silent.")] = 0.25,
    outages: Annotated[int, typer.Option(min=0, metavar="N", help="Regions with an outage of some hours.")] = 3,
    surges: Annotated[int, typer.Option(min=0, metavar="N", help="Regions with a surge of some hours.")] = 3,
) -> None:
    """Generate call records, one Parquet file per day.

    Writes DIR/day=YYYY-MM-DD/part-0.parquet with the columns cdr_id, customer_id, timestamp, cdr_type, data_volume_mb and wilaya_code (a
    region, 01 to 58).

    DIR_labels.parquet lists the anomalies: key (a customer or a region), kind, from, to (both inclusive), and the view that can find them.
    DIR_customers.parquet gives the segment and home of each customer.

    The first 21 days have no anomalies; most lie in the last 30 % of the days. No customer or region has two. Every kind with a share above
    0 occurs at least once.
    """
    from offbeat.cli.first_start import tell_of_compiling
    from offbeat.cli.progress import Meter
    from offbeat.cli.say import put, say
    from offbeat.cli.terminal import console
    from offbeat.engines.run_result import Progress
    from offbeat.evaluate.cdr_anomalies import FEWEST_DAYS, Rates
    from offbeat.evaluate.cdr_process import make_rows
    from offbeat.evaluate.generate_cdr import check_sizes, generate_cdr, usual_customers

    rates = Rates(sim_box, night_owl, exfiltration, slow_drift, sensors, dead_sensor, outages, surges)
    people = usual_customers(rows, days) if customers is None else customers
    meter = Meter(console(stderr=True), live=False, found="days")
    try:
        check_sizes(out, rows=rows, days=days, customers=people, rates=rates, zone=zone)
        tell_of_compiling(make_rows, 10)
        made = generate_cdr(
            out,
            rows=rows,
            days=days,
            customers=people,
            seed=seed,
            rates=rates,
            zone=zone,
            workers=workers,
            progress=lambda done, whole: meter(Progress(done, whole, done, rows)),
        )
    except ValueError as error:
        raise UserError(f"cannot generate records: {error}") from error
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror or error}") from error
    finally:
        meter.close()
    if days < FEWEST_DAYS:
        say(f"no anomalies: they need history; give --days {FEWEST_DAYS} or more")
    who = f"{made.customers:,} customer{'s' * (made.customers != 1)} on {days:,} day{'s' * (days != 1)}"
    put(f"{rows:,} records of {who} in {out}; {made.anomalies:,} anomalies in {out.parent / made.labels.name}")
