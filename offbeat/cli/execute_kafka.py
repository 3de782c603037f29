"""A worker on Kafka from the command line: its job, progress, interruption, report."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from offbeat.cli.ending import BELOW_QUALITY, report
from offbeat.cli.first_start import prepare
from offbeat.cli.interruption import Interruption
from offbeat.cli.kafka_address import address_of_topic
from offbeat.cli.live import LiveLines
from offbeat.cli.progress import Meter
from offbeat.cli.request import Request
from offbeat.cli.say import say
from offbeat.cli.terminal import console
from offbeat.errors import UserError
from offbeat.io.kafka import KAFKA
from offbeat.io.kafka.address import KafkaAddress, kafka_address
from offbeat.spec.duration import instant_ns
from offbeat.spec.load import load_plan

if TYPE_CHECKING:
    from offbeat.engines.kafka.topics import Beginning
    from offbeat.io.kafka.schemas import Schemas

_SLOTS = 256


def execute(request: Request) -> int:
    """Run a worker; the exit code. Raises UserError for what a person can put right."""
    source = address_of_topic(request.sources[0])
    from offbeat.engines.kafka.job import Job
    from offbeat.engines.kafka.metrics import served
    from offbeat.engines.kafka.repartition import Repartition
    from offbeat.engines.kafka.topics import check_group
    from offbeat.engines.kafka.worker import KafkaEngine

    plan = load_plan(request.pipeline, request.overrides)
    group = request.kafka.group or plan.name
    check_group(group)
    alerts, outputs = _alerts(request, source)
    prepare(plan)
    results, remarks = console(), console(stderr=True)
    meter = Meter(results if results.is_terminal and remarks.is_terminal else remarks, live=True)
    lines = LiveLines(results, plan.zone) if not request.alerts and not request.as_json else None
    state = request.state or _default_state()
    begin, until_end, until_ns = _bounds(request)
    copied = request.kafka.repartition
    with _instance(request.kafka.instance, state, group) as instance:
        job = Job(
            source=replace(source, topic=copied) if copied is not None else source,
            group=group,
            instance=instance,
            state=state,
            alerts=alerts,
            outputs=outputs,
            append=request.append,
            tell=say,
            dead_letters=request.kafka.dead_letters,
            payload=request.kafka.payload,
            schemas=_schemas(request, state / group),
            begin=begin,
            until_end=until_end,
            until_ns=until_ns,
        )
        copy = Repartition(plan, job, source) if copied is not None else None
        engine = KafkaEngine(plan, job, watch=lines)

        def stop() -> None:
            if copy is not None:
                copy.stop()
            engine.stop()

        if not request.as_json:
            say(f"group {group}, worker {instance}; snapshots in {state}")
        with served(engine, request.kafka.metrics_port), Interruption(stop, live=False) as interruption:
            try:
                with copy.beside(engine.stop) if copy is not None else nullcontext():
                    done = engine.run(meter)
            finally:
                meter.close()
    report(request, plan, done, results)
    if done.complete and not interruption.asked:
        return BELOW_QUALITY if done.below_quality else 0
    say("interrupted; all work so far is committed, and the same command continues from here")
    return 130


def _alerts(request: Request, source: KafkaAddress) -> tuple[KafkaAddress | None, tuple[str, ...]]:
    """The topic of alerts, if any, and the other outputs."""
    topics = [kafka_address(uri) for uri in request.alerts if uri.startswith(KAFKA)]
    others = tuple(uri for uri in request.alerts if not uri.startswith(KAFKA))
    if len(topics) > 1:
        raise UserError("from Kafka, --alerts names one topic at most, and files or databases besides")
    if "-" in others:
        raise UserError("--alerts -: lines on standard output cannot be taken back; name a file, or leave --alerts out to watch alerts")
    found = topics[0] if topics else None
    if found is not None and found.brokers != source.brokers:
        raise UserError(
            f"--alerts {found}: alerts and offsets are committed in one transaction, so they must be on the brokers of the source, "
            f"{source.brokers}, spelled alike"
        )
    return found, others


def _schemas(request: Request, folder: Path) -> Schemas | None:
    asked = request.kafka
    if asked.payload != "avro":
        return None
    try:
        from offbeat.io.kafka.schemas import Schemas
    except ModuleNotFoundError as error:
        raise UserError("Avro needs fastavro and confluent-kafka's extras: pip install 'offbeat[kafka]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    return Schemas(asked.schemas, asked.registry, folder)


def _bounds(request: Request) -> tuple[Beginning, bool, int | None]:
    from offbeat.engines.kafka.topics import Beginning, Start

    text = request.kafka.begin
    named = {start.value: start for start in (Start.EARLIEST, Start.LATEST, Start.COMMITTED)}
    begin = Beginning(named[text]) if text in named else Beginning(Start.TIME, _time("--from", text, "earliest, latest, committed"))
    until = request.kafka.until
    if until is None or until == "end":
        return begin, until == "end", None
    return begin, False, _time("--until", until, "end")


def _time(option: str, text: str, others: str) -> int:
    try:
        return instant_ns(text)
    except ValueError as error:
        raise UserError(f"{option} {text}: expected {others}, or a time such as 2024-01-31T09:15:00Z") from error


def _default_state() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "offbeat" / "kafka"


@contextmanager
def _instance(asked: str | None, state: Path, group: str) -> Iterator[str]:
    """A name that no other worker on this machine has at this time, and that a worker started again after a crash has once more."""
    from offbeat.engines.kafka.topics import check_instance

    if asked is not None:
        check_instance(asked)
        yield asked
        return
    folder = state / group
    for number in range(_SLOTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / f"worker-{number}.lock").open("w")
        except OSError as error:
            raise UserError(f"cannot use {folder} for snapshots: {error.strerror}; name one you can write to with --state") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"{socket.gethostname()}-{number}"
            return
    raise UserError(f"{_SLOTS} workers run on this machine already in group {group!r}")
