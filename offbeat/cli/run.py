"""`offbeat run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.cli.options import Master, Overrides
from offbeat.errors import UserError

EXAMPLES = """\b
Examples:
  # Print a report; write nothing
  offbeat run bars data/bars
  # Write alerts as JSON lines, quarantined rows beside them
  offbeat run bars 'data/*.csv.gz' --alerts alerts.jsonl
  # Stop and continue, also with more files
  offbeat run my.yaml data --alerts out.parquet --state state
  # Call records, every night
  offbeat run cdr calls --alerts alerts.jsonl --tables tables --state state
  # Ten alerts in a row are one episode; call centres are known
  offbeat run cdr calls --episodes episodes.jsonl --mutes mutes.csv
  # Score rows as they arrive
  tail -f rows.ndjson | offbeat run my.yaml -
  # Change one value
  offbeat run bars data --set bar.volume_surge.when='volume > 3 * mean_volume'
  # A topic in, alerts out; the same command again is another worker
  offbeat run trades kafka://b:9092/trades --alerts kafka://b:9092/anomalies
  # The same on a cluster
  offbeat run cdr /mnt/calls --engine spark --alerts /mnt/out.parquet
  # Figures for a program
  offbeat run bars data --json --alerts out.jsonl
"""


_KAFKA = "Kafka"


def run(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help="A YAML file or a shipped one: bars, cdr, series, ticks, trades.", show_default=False)
    ],
    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE", help="Files, folders, quoted patterns, a package's NAME://…, or - for JSON lines on standard input."
        ),
    ] = None,
    alerts: Annotated[
        list[str] | None,
        typer.Option(
            "--alerts",
            metavar="URI",
            help="Write alerts to FILE.jsonl, FILE.parquet, a package's NAME://…, or - (JSON lines on standard output). Repeatable.",
        ),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--tables", metavar="URI", help="Write the pipeline's tables to a folder of Parquet files, or to delta:FOLDER. Repeatable."
        ),
    ] = None,
    episodes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write episodes, alerts of one group close in time, to FILE.jsonl or FILE.parquet."),
    ] = None,
    mutes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What is known already: keys, reasons and dates, in a CSV, YAML or Parquet file."),
    ] = None,
    quarantine: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write quarantined rows to this Parquet file.", show_default="in the state directory or beside the alerts"
        ),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep state and position here. The same command continues from there.")
    ] = None,
    overrides: Overrides = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, metavar="N", help="Spread keys over N shards, folded side by side.", show_default="one a core"),
    ] = None,
    ends: Annotated[
        bool | None,
        typer.Option(
            "--final/--continues",
            help="At the end of the source, score what is held back and open windows, or leave them pending for the next run with --state.",
            show_default="--continues for standard input with --state, else --final",
        ),
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Make state and outputs again from all sources. What is there is renamed, not removed."),
    ] = False,
    append: Annotated[
        bool, typer.Option("--append", help="Add to outputs that already hold something, whoever wrote it. Else they are refused.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print only one JSON object with the figures of the run.")] = False,
    engine: Annotated[str, typer.Option(metavar="NAME", help="What carries the rows: local, or spark for a cluster.")] = "local",
    master: Master = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Consumer group; workers of one group share the partitions.",
            show_default="the pipeline's name",
            rich_help_panel=_KAFKA,
        ),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="This worker's own name in its group, also after a restart.",
            show_default="host and number",
            rich_help_panel=_KAFKA,
        ),
    ] = None,
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="Where a new group begins: earliest, latest, a time, or committed (it must not be new).",
            rich_help_panel=_KAFKA,
        ),
    ] = "earliest",
    until: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Stop at the end that the topic has now (end), or at a time.",
            show_default="never",
            rich_help_panel=_KAFKA,
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            min=1,
            max=65_535,
            metavar="PORT",
            help="Serve /metrics for Prometheus and /health on 127.0.0.1.",
            show_default="none",
            rich_help_panel=_KAFKA,
        ),
    ] = None,
    dead_letters: Annotated[
        str | None,
        typer.Option(
            "--dead-letters",
            metavar="TOPIC",
            help="Send rows that are quarantined or late to this topic, with the reason.",
            rich_help_panel=_KAFKA,
        ),
    ] = None,
    payload: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="What records are: json, avro, arrow or dbn.", rich_help_panel=_KAFKA)
    ] = "json",
    schemas: Annotated[
        list[str] | None,
        typer.Option(
            "--schema",
            metavar="[ID=]FILE",
            help="Avro schema of all records; or of those that begin with this id, repeatable.",
            rich_help_panel=_KAFKA,
            show_default=False,
        ),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Schema registry that knows the ids with which Avro records begin.",
            show_default="none",
            rich_help_panel=_KAFKA,
        ),
    ] = None,
    repartition: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC",
            help="Copy the records to this topic under the pipeline's key, and score them there.",
            show_default="none",
            rich_help_panel=_KAFKA,
        ),
    ] = None,
) -> None:
    """Score every row of a source and emit alerts.

    Every row is accounted for: scored, warming up, late, duplicate, filtered, pending, or quarantined with a reason. Ctrl-C finishes
    the current batch and says how to continue.
    """
    from offbeat.cli.request import ENGINES, SPARK, KafkaRequest, Request, check

    if engine not in ENGINES:
        raise UserError(f"no engine {engine!r}; engines are {' and '.join(ENGINES)}")

    request = Request(
        pipeline=pipeline,
        sources=tuple(source or ()),
        alerts=tuple(alerts or ()),
        tables=tuple(tables or ()),
        quarantine=quarantine,
        state=state,
        overrides=tuple(overrides or ()),
        as_json=as_json,
        workers=workers,
        ends=ends,
        kafka=KafkaRequest(group, instance, begin, until, dead_letters, metrics_port, payload, tuple(schemas or ()), registry, repartition),
        append=append,
        rebuild=rebuild,
        episodes=episodes,
        mutes=mutes,
        engine=engine,
        master=master,
    )
    check(request)
    if engine == SPARK:
        from offbeat.cli.execute_spark import execute
    elif request.from_kafka:
        from offbeat.cli.execute_kafka import execute
    else:
        from offbeat.cli.execute import execute

    raise typer.Exit(execute(request))
