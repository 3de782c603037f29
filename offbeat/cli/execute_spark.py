"""A run on Spark from the command line: session, progress, interruption, report."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from offbeat.cli.ending import BELOW_QUALITY, report, tidy
from offbeat.cli.interruption import Interruption
from offbeat.cli.kafka_address import address_of_topic
from offbeat.cli.progress import Meter
from offbeat.cli.replaying import readable
from offbeat.cli.request import Request, quarantine_path
from offbeat.cli.say import say
from offbeat.cli.terminal import console
from offbeat.core.plan import Plan
from offbeat.engines.cadence import with_cadence
from offbeat.engines.spark import HIVE
from offbeat.engines.spark.session import check_installed, running
from offbeat.errors import UserError
from offbeat.io.read.file_source import FileSource
from offbeat.io.read.open_source import open_source
from offbeat.spec.load import load_plan

# PySpark says so of versions that work here, at each job.
_PANDAS = "PySpark does not yet fully support pandas"


def execute(request: Request) -> int:
    """Run the pipeline; the exit code. Raises UserError for what a person can put right."""
    plan = load_plan(request.pipeline, request.overrides)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _PANDAS, FutureWarning)
        return _stream(request, plan) if request.from_kafka else _batch(request, plan)


def load(source: str, target: str, pipeline: str | None, name: str | None, master: str | None) -> int:
    """Load files into a topic; the exit code. Raises UserError for what a person can put right."""
    address = address_of_topic(target)
    plan, opened = readable(source, pipeline)
    check_installed()
    from offbeat.engines.spark.cancelling import Cancelling
    from offbeat.engines.spark.load import load as run

    stop = _Stop()
    with warnings.catch_warnings(), Interruption(stop, live=False), running(master) as spark:
        warnings.filterwarnings("ignore", _PANDAS, FutureWarning)
        cancelling = Cancelling(spark)
        stop.what = cancelling.stop
        try:
            done = run(spark, plan, opened, address, name or f"load.{uuid4().hex}")
        except Exception:
            if not cancelling.asked:
                raise
            say("interrupted; " + ("the same command goes on from here" if name else "with --resume NAME it could go on from here"))
            return 130
        finally:
            cancelling.ended()
    for note in [*opened.notes, *done.notes]:
        say(note)
    unread = f"; {done.left_out:,} skipped that are not rows of {plan.name}" if done.left_out else ""
    say(f"{done.rows:,} row{'s' * (done.rows != 1)} of {len(opened.files):,} file{'s' * (len(opened.files) != 1)} in {address}{unread}")
    return 0


class _Stop:
    """What an interruption does: before anything has begun there is nothing to end in good order."""

    def __init__(self) -> None:
        self.what: Callable[[], None] = lambda: os._exit(130)

    def __call__(self) -> None:
        self.what()


def _stream(request: Request, plan: Plan) -> int:
    source = address_of_topic(request.sources[0])
    check_installed()
    from offbeat.engines.spark.stream import SparkStream, check_stream

    check_stream(request.alerts)
    meter = Meter(console(stderr=True), live=True)
    stop = _Stop()
    with Interruption(stop, live=False) as interruption, running(request.master) as spark:
        until_end = request.kafka.until is not None
        state, buckets = request.state or Path(), request.workers or 0
        stream = SparkStream(spark, plan, source, state=state, alerts=request.alerts, until_end=until_end, buckets=buckets)
        stop.what = stream.stop
        try:
            done = stream.run(meter)
        finally:
            meter.close()
    report(request, plan, done, console())
    if done.complete and not interruption.asked:
        return 0
    say("interrupted; all work so far is kept, and the same command continues from here")
    return 130


def _files(request: Request, plan: Plan) -> FileSource:
    source = open_source(plan.source, list(request.sources))
    if not isinstance(source, FileSource):
        raise UserError("--engine spark reads files in this version; the source of another package is for --engine local")
    return source


def _batch(request: Request, plan: Plan) -> int:
    from_table = any(uri.startswith(HIVE) for uri in request.sources)
    if from_table and len(request.sources) > 1:
        raise UserError(f"a table is read alone: {HIVE}DATABASE.TABLE stands alone as the source")
    files = None if from_table else _files(request, plan)
    if files is not None:
        plan = with_cadence(plan, lambda known: load_plan(request.pipeline, (*request.overrides, known)), files, None)
    quarantine = quarantine_path(request)
    check_installed()
    from offbeat.engines.spark.batch import SparkBatch, Table
    from offbeat.engines.spark.catalogue import open_table
    from offbeat.engines.spark.parts import Outputs

    outputs = Outputs([] if files is None else files.files, request.alerts, quarantine)
    stop = _Stop()
    with Interruption(stop, live=False), running(request.master, hive=from_table or bool(outputs.tables)) as spark:
        buckets = request.workers or spark.sparkContext.defaultParallelism
        uri = request.sources[0] if request.sources else ""
        source = files if files is not None else Table(uri, open_table(spark, uri))
        batch = SparkBatch(spark, plan, source, outputs, buckets=buckets)
        stop.what = batch.stop
        done = batch.run()
    if not done.complete:
        say("interrupted; nothing was kept")
        return 130
    kept = tidy(request, quarantine, done)
    report(request, plan, done, console(), quarantine=kept)
    return BELOW_QUALITY if done.below_quality else 0
