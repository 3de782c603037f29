"""What `offbeat calibrate` does."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

from offbeat.cli.first_start import prepare
from offbeat.cli.progress import Meter
from offbeat.cli.say import put, say
from offbeat.cli.terminal import console, show
from offbeat.core.batch import I64
from offbeat.engines.calibration.budget import budget_of
from offbeat.engines.calibration.calibrate import Calibration, by_name, calibrate
from offbeat.errors import UserError
from offbeat.fold.episodes import Episodes
from offbeat.io.report.calibration_report import calibration_report
from offbeat.io.report.console import alert_records
from offbeat.io.write.atomic_file import whole_file
from offbeat.io.write.episode_table import episode_table
from offbeat.spec.duration import instant_ns
from offbeat.spec.load import load_plan

_NAMES = {"found": "two of three (found)", "checked": "the third (checked)", "recent": "the newest quarter"}
_FAR = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    pipeline: str
    sources: tuple[str, ...]
    budget: str
    write: Path | None
    since: str | None
    limit: int
    overrides: tuple[str, ...]
    as_json: bool


def run(asked: Asked) -> None:
    """Calibrate and tell. Raises UserError for what a person can put right."""
    budget = budget_of(asked.budget)
    try:
        since_ns = None if asked.since is None else instant_ns(asked.since)
    except ValueError as error:
        raise UserError(f"--since: {error}") from error
    if asked.write is not None:
        check_output(asked.write, asked.pipeline)
    prepare(load_plan(asked.pipeline, asked.overrides))
    meter = Meter(console(stderr=True), live=False)
    try:
        found = calibrate(asked.pipeline, asked.sources, budget, overrides=asked.overrides, since_ns=since_ns, watch=meter)
    finally:
        meter.close()
    if asked.write is not None:
        write_text(asked.write, found.changed)
    episodes = found.before.episodes()
    gone, came = episodes.lost(found.after.facts), found.after.episodes().lost(found.before.facts)
    if asked.as_json:
        put(json.dumps(_figures(found, len(gone), len(came))))
    else:
        _show(asked, found, episodes, gone, len(came))
    for word in _words(found):
        say(word)


def check_output(path: Path, pipeline: str) -> None:
    """Raise UserError where the pipeline's own file would be written over, or nothing can be written."""
    if path.suffix.lower() not in {".yaml", ".yml"}:
        raise UserError(f"--write {path}: a pipeline is a YAML file; name it FILE.yaml")
    if path.exists():
        own = Path(pipeline).exists() and path.resolve() == Path(pipeline).resolve()
        raise UserError(f"--write {path}: {'that is the pipeline itself' if own else 'it is there already'}; name a new file")


def write_text(path: Path, text: str) -> None:
    """Write a new file, whole or not at all. Raises UserError."""
    with whole_file(path, durable=True) as file:
        file.write(text.encode())


def diff_of(name: str, before: str, after: str) -> str:
    """What changes in a pipeline's file."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), name, f"{name} (changed)", n=0)
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def _show(asked: Asked, found: Calibration, episodes: Episodes, gone: I64, came: int) -> None:
    parts = {"found": found.parts.found, "checked": found.parts.checked, "recent": found.parts.recent}
    rates = [(_NAMES[name], parts[name].days, *pair) for name, pair in found.rates.items()]
    report = calibration_report(
        rates,
        what=found.budget.of,
        most=found.budget.most(found.before.keys),
        diff=diff_of(found.file, found.text, found.changed),
        gone=alert_records(episode_table(episodes, gone[: asked.limit])),
        gone_in_all=len(gone) if asked.limit else 0,
        came=came,
        zone=found.before.plan.zone,
    )
    show(report, console())
    put(f"written: {asked.write}" if asked.write is not None else "nothing was written; --write OUT.yaml writes the changed pipeline")


def _words(found: Calibration) -> list[str]:
    """What is odd about the result."""
    words = []
    most, rates = found.budget.most(found.before.keys), found.rates
    if not found.met:
        words.append(f"no limits give as many as {found.budget.text}: milder ones give no more, or alerts that join to fewer incidents")
    elif abs(found.off) > _FAR:
        told = f"{100 * found.off:+.0f} %, {rates['checked'][1]:.3g} a day"
        words.append(f"the days held out miss the budget ({told}): there are few of them, or they are unlike each other")
    elif most and abs(rates["recent"][1] / most - 1) > 1.5 * _FAR:
        words.append(
            f"the newest quarter of the days has {rates['recent'][1]:.3g} a day with these limits, not {most:.3g}: the data drifts; "
            "calibrate on newer data, or again before long"
        )
    if found.untouched:
        words.append(f"left as they are, since their limit is no number that could be scaled: {', '.join(found.untouched)}")
    return words


def _figures(found: Calibration, gone: int, came: int) -> dict[str, object]:
    rates = {name: {"before": before, "after": after} for name, (before, after) in found.rates.items()}
    return {
        "budget": found.budget.text,
        "a_day": found.budget.most(found.before.keys),
        "rates": rates,
        "off": found.off,
        "met": found.met,
        "settings": by_name(found.settings),
        "episodes_gone": gone,
        "episodes_new": came,
        "untouched": list(found.untouched),
    }
