"""A run from the command line: engine, progress, interruption, report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from offbeat.cli.ending import BELOW_QUALITY, how_to_go_on, report, tidy
from offbeat.cli.first_start import prepare
from offbeat.cli.interruption import Interruption
from offbeat.cli.live import LiveLines
from offbeat.cli.progress import Meter
from offbeat.cli.request import Request, quarantine_path
from offbeat.cli.say import say
from offbeat.cli.terminal import console
from offbeat.engines.cadence import with_cadence
from offbeat.engines.local import LocalEngine, cores
from offbeat.engines.rebuild import set_aside
from offbeat.errors import UserError
from offbeat.io.read.open_source import open_source
from offbeat.io.write.provenance import provenance_path
from offbeat.io.write.sinks import local_path
from offbeat.spec.load import load_plan


def put_aside(request: Request) -> None:
    """What `--rebuild` asks for, before anything is opened."""
    if request.live:
        raise UserError("--rebuild reads all sources again, which this one cannot give: name another --state and other outputs")
    outputs = [path for uri in request.alerts if (path := local_path(uri)) is not None]
    sidecars = [provenance_path(uri) for uri in request.alerts if local_path(uri) is not None]
    own = [request.quarantine] if request.quarantine is not None else []
    for line in set_aside(request.state or Path(), [*outputs, *sidecars, *own]):
        say(line)


def execute(request: Request) -> int:
    """Run the pipeline; the exit code. Raises UserError for what a person can put right."""
    plan = load_plan(request.pipeline, request.overrides)
    source = open_source(plan.source, list(request.sources))
    plan = with_cadence(plan, lambda known: load_plan(request.pipeline, (*request.overrides, known)), source, request.state)
    request = replace(request, endless=source.live)
    prepare(plan)
    if request.rebuild:
        put_aside(request)
    results, remarks = console(), console(stderr=True)
    both = results.is_terminal and remarks.is_terminal
    meter = Meter(results if request.live and both else remarks, live=request.live)
    lines = LiveLines(results, plan.zone) if request.live and not request.alerts and not request.as_json else None
    quarantine = quarantine_path(request)
    engine = LocalEngine(
        plan,
        source,
        alerts=request.alerts,
        tables=request.tables,
        quarantine=quarantine,
        state=request.state,
        live=request.live,
        watch=lines,
        workers=request.workers or cores(),
        ends=request.ends,
        append=request.append,
        say=say,
        episodes=request.episodes,
        mutes=request.mutes,
    )
    before = engine.result.ledger.rows_in
    with Interruption(engine.stop, live="-" in request.sources) as interruption:
        try:
            done = engine.run(meter)
        finally:
            meter.close()
    kept = tidy(request, quarantine, done)
    more = {"state": engine.of_state()} if request.as_json and request.state is not None else None
    report(request, plan, done, remarks if request.stdout_is_taken else results, rows_before=before, quarantine=kept, more=more)
    if done.complete and not interruption.asked:
        return BELOW_QUALITY if done.below_quality else 0
    say(how_to_go_on(request))
    return 130
