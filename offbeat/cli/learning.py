"""What `offbeat learn` does."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from offbeat.cli.calibrating import check_output, diff_of, write_text
from offbeat.cli.first_start import prepare
from offbeat.cli.say import printable, put, say
from offbeat.cli.terminal import console, show
from offbeat.cli.working_incidents import moment_ns, user_name
from offbeat.core.plan import Plan
from offbeat.engines.calibration.calibrate import by_name, document_of
from offbeat.engines.calibration.feedback import Proposal, propose
from offbeat.engines.calibration.judged_alerts import judged
from offbeat.engines.incidents import plan_of_store
from offbeat.errors import UserError
from offbeat.io.report.console import alert_records, moment
from offbeat.io.report.episode_report import episode_lines
from offbeat.io.write.episode_table import episode_table
from offbeat.spec.load import load_text, pipeline_text, shipped
from offbeat.store.database import Database
from offbeat.store.incident import FALSE, REAL
from offbeat.store.open import open_database, reached
from offbeat.store.versions import keep, version, versions_of

_FEW_LABELS = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    store: str
    sources: tuple[str, ...]
    pipeline: str | None
    write: Path | None
    apply: bool
    versions: bool
    rollback: int | None
    since: str | None
    limit: int
    who: str | None
    as_json: bool


def run(asked: Asked) -> None:
    """Propose, and do what was asked for. Raises UserError for what a person can put right."""
    plan = plan_of_store(asked.store, asked.pipeline)
    file, text = pipeline_text(asked.pipeline or plan.name)
    _check(asked, file)
    database = open_database(asked.store, write=True)
    with reached(database):
        if asked.versions:
            _list(asked, database, plan)
        elif asked.rollback is not None:
            _bring_back(asked, database, plan, text, file)
        else:
            since_ns = None if asked.since is None else moment_ns("--since", asked.since, ahead=False)
            proposal = propose(database, plan, text, since_ns)
            _tell(asked, proposal, plan, file, text)
            if proposal.settings:
                _put(asked, database, plan, (file, text), proposal.changed, "learned from labels")


def _check(asked: Asked, file: str) -> None:
    own = asked.pipeline is not None and asked.pipeline not in shipped()
    if asked.apply and asked.write is not None:
        raise UserError("--apply changes the pipeline's file and --write makes a new one: name one of both")
    if (asked.apply or (asked.rollback is not None and asked.write is None)) and not own:
        raise UserError(f"{file} comes with the package and is not changed: --write OUT.yaml makes a file of your own to use")
    if asked.write is not None:
        check_output(asked.write, asked.pipeline or "")


def _list(asked: Asked, database: Database, plan: Plan) -> None:
    known = versions_of(database, plan.name)
    for one in known:
        if asked.as_json:
            put(json.dumps({"number": one.number, "at_ns": one.at_ns, "who": one.who, "why": one.why, "plan_hash": one.plan_hash}))
        else:
            at = moment(datetime.fromtimestamp(one.at_ns // 10**9, UTC))
            put(printable(f"{one.number}: {at}  {one.who}  {one.why}  plan {one.plan_hash[:12]}"))
    if not known and not asked.as_json:
        put("No versions are kept.")


def _bring_back(asked: Asked, database: Database, plan: Plan, text: str, file: str) -> None:
    found = version(database, plan.name, asked.rollback or 0)
    put(diff_of(file, text, found.text).rstrip("\n") or f"{file} is version {found.number}")
    _put(asked, database, plan, (file, text), found.text, f"version {found.number} again", always=asked.write is None)


def _put(asked: Asked, database: Database, plan: Plan, before: tuple[str, str], changed: str, why: str, *, always: bool = False) -> None:
    """Write the changed file, where that was asked for; both texts are kept in the store first."""
    file, text = before
    tell = say if asked.as_json else put
    if not (asked.apply or always or asked.write is not None):
        tell("nothing was changed; --apply changes the pipeline's file, --write OUT.yaml makes a new one")
        return
    who = user_name(asked.who)
    new = load_text(changed, file).plan
    former = keep(database, plan.name, plan.plan_hash, text, who, "as it was")
    number = keep(database, plan.name, new.plan_hash, changed, who, why)
    target = asked.write or Path(file)
    write_text(target, changed)
    tell(f"written: {target}, version {number}; --rollback {former} brings back what was before")


def _tell(asked: Asked, proposal: Proposal, plan: Plan, file: str, text: str) -> None:
    lesson = proposal.lesson
    real, false = lesson.kept, lesson.gone + lesson.stay
    former = proposal.run.episodes()
    gone = former.lost(proposal.run.facts.take(proposal.run.left(lesson.factors)))
    labelled = {one.episode["episode_id"] for one in proposal.labelled}
    table = alert_records(episode_table(former, gone))
    others = [row for row in table if row["episode_id"] not in labelled]
    settings = by_name(proposal.settings)
    if asked.as_json:
        figures: dict[str, object] = {"real": real, "false": false, "false_gone": lesson.gone, "others_gone": len(others)}
        put(json.dumps({**figures, "settings": settings, "mutes": list(proposal.mutes), "replayed": _replayed(asked, proposal, text)}))
    elif not settings:
        put(f"{real} real and {false} false incidents: no stricter limits would lose a false one and no real one")
    else:
        put(f"by the store's alerts {real} incidents labelled real stay, and {lesson.gone} of {false} labelled false go")
        put(diff_of(file, text, proposal.changed).rstrip("\n"))
        put(f"of {len(former) - len(labelled):,} others {len(others):,} go" + (", the worst of them:" if others and asked.limit else ""))
        if others and asked.limit:
            show(episode_lines(others[: asked.limit], zone=plan.zone), console())
        replayed = _replayed(asked, proposal, text)
        for line in _replay_words(replayed):
            put(line)
        if replayed is not None and (replayed["real_left"], replayed["false_left"]) != (real, lesson.stay):
            say("a run over the rows does not bear out what the store's alerts promise, as models set their limits by the data: better not")
    if proposal.staying and settings:
        ids = ", ".join(one.incident_id[:12] for one in proposal.staying[:5])
        say(f"{len(proposal.staying)} labelled false stay, as far over their limits as real ones: {ids}")
    for key in proposal.mutes[:5]:
        say(f"all incidents of {key} are false: offbeat incidents {asked.store} mute {shlex.quote(printable(key))} --why TEXT mutes it")
    shares = [path[1] + "." + path[3] for path in proposal.settings if path[-1] == "contamination"]
    if shares and not asked.sources:
        say(f"{', '.join(shares)}: a share of rows is flagged, whose limit follows the data; name the SOURCE to see what it comes to")
    if real + false < _FEW_LABELS:
        say(f"{real + false} labels are few: look at what goes, and label more")
    if proposal.untouched:
        say(f"left as they are, since their limit is no number that could be scaled: {', '.join(proposal.untouched)}")


def _replayed(asked: Asked, proposal: Proposal, text: str) -> dict[str, int] | None:
    """How many episodes go and come when both pipelines run over the rows themselves; None without a source."""
    if not asked.sources or not proposal.settings:
        return None
    prepare(load_text(text).plan)
    before = judged(document_of(text), asked.sources, ())
    after = judged(document_of(proposal.changed), asked.sources, ())
    former, new = before.episodes(), after.episodes()
    there = {row.tobytes().hex() for row in after.facts.ids}
    left = Counter(one.label for one in proposal.labelled if there.intersection(one.episode["alert_ids"]))
    return {
        "real_left": left[REAL],
        "false_left": left[FALSE],
        "before": former.counts()["episodes"],
        "after": new.counts()["episodes"],
        "gone": len(former.lost(after.facts)),
        "new": len(new.lost(before.facts)),
    }


def _replay_words(figures: dict[str, int] | None) -> Sequence[str]:
    if figures is None:
        return ["name the SOURCE, too, to run both pipelines over its rows"]
    told = f"{figures['gone']:,} of the former have no alert left, {figures['new']:,} are new"
    return [
        f"over the rows of the source: {figures['real_left']:,} of those labelled real stay, and {figures['false_left']:,} labelled false",
        f"{figures['before']:,} episodes before, {figures['after']:,} after; {told}",
    ]
