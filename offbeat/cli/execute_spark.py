"""A run on Spark from the command line: session, progress, interruption, report."""

from __future__ import annotations

import json
import warnings

from offbeat.cli.ending import BELOW_QUALITY, report, tidy
from offbeat.cli.interruption import Interruption
from offbeat.cli.request import Request, quarantine_path
from offbeat.cli.say import put, say
from offbeat.cli.terminal import console
from offbeat.engines.cadence import with_cadence
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
    if request.from_kafka:
        raise UserError("--engine spark reads files in this version; for a topic leave it out, and start more workers")
    source = open_source(plan.source, list(request.sources))
    if not isinstance(source, FileSource):
        raise UserError("--engine spark reads files in this version; the source of another package is for --engine local")
    plan = with_cadence(plan, lambda known: load_plan(request.pipeline, (*request.overrides, known)), source, None)
    quarantine = quarantine_path(request)
    check_installed()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _PANDAS, FutureWarning)
        from offbeat.engines.spark.batch import SparkBatch
        from offbeat.engines.spark.parts import Outputs

        outputs = Outputs(source.files, request.alerts, quarantine)
        with running(request.master) as spark:
            buckets = request.workers or spark.sparkContext.defaultParallelism
            batch = SparkBatch(spark, plan, source, outputs, buckets=buckets)
            with Interruption(batch.stop, live=False) as interruption:
                done = batch.run()
    kept = tidy(request, quarantine, done)
    if request.as_json:
        put(json.dumps(done.as_dict()))
    else:
        report(request, plan, done, 0, kept, console())
    if done.complete and not interruption.asked:
        return BELOW_QUALITY if done.below_quality else 0
    say("interrupted; nothing was kept")
    return 130
