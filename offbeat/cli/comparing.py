"""A comparison from the command line: labels and plot checked first, then the rows, then tables, JSON or a page."""

from __future__ import annotations

import json
import re
import resource
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.text import Text

from offbeat.cli.first_start import prepare
from offbeat.cli.progress import Meter
from offbeat.cli.say import put
from offbeat.cli.terminal import console, show
from offbeat.core.plan import Plan
from offbeat.engines.cadence import with_cadence
from offbeat.engines.compare import Judged, chosen, judge, longest_window, names_of
from offbeat.engines.run_result import Progress
from offbeat.errors import UserError
from offbeat.evaluate.comparison import as_dict, compared
from offbeat.evaluate.detection_quality import Tolerance
from offbeat.evaluate.labels import read_labels
from offbeat.io.read.open_source import open_source
from offbeat.io.report.compare_plot import check_plot, plot_comparison
from offbeat.io.report.compare_report import comparison_report
from offbeat.io.write.score_file import check_scores, write_scores
from offbeat.spec.duration import duration_ns
from offbeat.spec.load import load_plan

_ROWS = re.compile(r"([0-9]+) *rows?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command line of `offbeat compare`."""

    pipeline: str
    sources: tuple[str, ...]
    detectors: tuple[str, ...]
    others: tuple[str, ...]
    labels: Path | None
    tolerance: str | None
    as_json: bool
    plot: Path | None
    scores: Path | None
    overrides: tuple[str, ...]


def _with_override(pipeline: str, overrides: tuple[str, ...], more: str) -> Plan:
    return load_plan(pipeline, (*overrides, more))


def carry_out(wanted: Wanted) -> None:
    """Compare and show. Raises UserError for what a person can put right."""
    named = [(wanted.pipeline, wanted.overrides), *((other, ()) for other in wanted.others)]
    plans = [load_plan(name, overrides) for name, overrides in named]
    sources = [open_source(plan.source, list(wanted.sources)) for plan in plans]
    for number, (name, overrides) in enumerate(named):
        plans[number] = with_cadence(plans[number], partial(_with_override, name, overrides), sources[number], None)
    names = chosen(names_of(plans), wanted.detectors)
    zone = plans[0].zone
    events = None if wanted.labels is None else read_labels(wanted.labels, zone).events
    tolerance = longest_window(plans) if wanted.tolerance is None else _tolerance(wanted.tolerance)
    if wanted.plot is not None:
        check_plot(wanted.plot)
    if wanted.scores is not None:
        check_scores(wanted.scores)
    prepare(*plans)
    meter = _Rounds(Meter(console(stderr=True), live=False), len(plans))
    done: list[Judged] = []
    try:
        for plan, source, mine in zip(plans, sources, names, strict=True):
            done.append(judge(plan, source, mine, meter))
            meter.next()
    finally:
        meter.close()
    series = [one for judged in done for one in judged.series]
    if wanted.scores is not None:
        write_scores(series, wanted.scores)
    comparison = compared(series, events, file=str(wanted.labels), tolerance=tolerance)
    notes = list(dict.fromkeys(note for judged in done for note in judged.notes))
    notes += comparison.labelled.notes if comparison.labelled is not None else []
    heading = "; ".join(_heading(judged) for judged in done)
    if wanted.plot is not None:
        plot_comparison(comparison, wanted.plot, title=heading, zone=zone, remarks=notes)
    written = {name: path for name, path in (("scores", wanted.scores), ("plot", wanted.plot)) if path is not None}
    if wanted.as_json:
        files = {name: str(path) for name, path in written.items()}
        put(json.dumps({"pipelines": [_figures(judged) for judged in done], **as_dict(comparison), **_memory(), **files, "notes": notes}))
        return
    out = console()
    show(Text(heading, style="bold"), out)
    show(comparison_report(comparison, notes), out)
    for name, path in written.items():
        put(f"{name}: {path}")


def _tolerance(text: str) -> Tolerance:
    rows = _ROWS.fullmatch(text.strip())
    if rows is not None:
        return Tolerance(rows=int(rows[1]))
    try:
        return Tolerance(ns=duration_ns(text))
    except ValueError as error:
        raise UserError(f"--tolerance: {error}, or a number of rows such as '100 rows'") from None


def _heading(judged: Judged) -> str:
    ledger = judged.ledger
    left = [(ledger.warming_up, "without a verdict"), (ledger.late, "late"), (ledger.duplicate, "duplicate"), (ledger.filtered, "filtered")]
    left.append((sum(ledger.quarantined.values()), "quarantined"))
    said = "".join(f", {n:,} {what}" for n, what in left if n)
    return f"{judged.plan.name}: {ledger.rows_in:,} rows in {judged.seconds:.1f} s{said}"


def _figures(judged: Judged) -> dict[str, object]:
    plan, seconds = judged.plan, round(judged.seconds, 3)
    return {"pipeline": plan.name, "plan_hash": plan.plan_hash, **judged.ledger.as_dict(), "seconds": seconds}


def _memory() -> dict[str, float]:
    return {"peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}


class _Rounds:
    """One meter for several readings of the same source."""

    def __init__(self, meter: Meter, rounds: int) -> None:
        self._meter, self._rounds = meter, rounds
        self._before = Progress(0, 0, 0, 0)
        self._last = self._before

    def __call__(self, at: Progress) -> None:
        """Show where the reading at hand stands, after those before it."""
        size = None if at.size_bytes is None else at.size_bytes * self._rounds
        b = self._before
        self._last = Progress(b.rows + at.rows, b.alerts + at.alerts, b.done_bytes + at.done_bytes, size)
        self._meter(self._last)

    def next(self) -> None:
        """The next reading begins."""
        self._before = replace(self._last)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._meter.close()
