"""The Kafka engine: one worker of a group, from topics to alerts, exactly once [ENGINES].

A shard is a partition. Rows are folded as they come; alerts, what the shards tell the merge, and the offsets become visible together, in
one transaction. Snapshots are rarer: after a restart or a rebalance a shard begins with the newest snapshot that is not past the committed
offset, and the records from there to it are folded again in silence, as what came of them was sent before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
from confluent_kafka import KafkaException

from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.engines.kafka.job import Job, Status, Work
from offbeat.engines.kafka.places import recreated
from offbeat.engines.kafka.session import Session
from offbeat.engines.kafka.topics import Cluster, look_up, partials_name, partials_topic
from offbeat.engines.run_result import Progress, Run
from offbeat.engines.snapshots import register
from offbeat.errors import UserError
from offbeat.io.kafka.outbox import LostTransactionError
from offbeat.io.kafka.refusals import refused

_TRIES = 10
"""Transactions lost in a row after which it is not the brokers' bad hour."""
_AGAIN_SECONDS = 1.0
"""Before another try where a transaction was lost."""


class KafkaEngine:
    """One worker. Raises UserError for what a person can put right.

    watch: is shown alerts as they are sent.
    """

    def __init__(self, plan: Plan, job: Job, *, watch: Callable[[pa.Table], None] | None = None) -> None:
        partials = partials_name(job.group)
        if job.source.topic == partials:
            raise UserError(f"the topic {partials} carries what group {job.group!r} tells of windows, no rows; name another --group")
        outputs = [job.alerts.topic] if job.alerts is not None else []
        outputs += [job.dead_letters] if job.dead_letters is not None else []
        for name in outputs:
            if name in {job.source.topic, partials}:
                raise UserError(f"cannot write to the topic {name}: this worker reads it; name another topic")
        topic = look_up(job.source)
        for output in (job.alerts, replace(job.source, topic=job.dead_letters) if job.dead_letters else None):
            if output is not None:
                Cluster(output).create(output.topic, topic.partitions)
        merges = any(view.rollup is not None for view in plan.views)
        merge_topic = partials_topic(job.source, job.group) if merges else None
        topics = [each for each in (topic, merge_topic) if each is not None]
        if not register(job.state / job.group, [each.id for each in topics]):
            # With a topic the brokers forget how far a group was in it: only the snapshots tell that there was another one.
            raise recreated(", ".join(each.name for each in topics), job.group)
        result = Run(plan.name, Ledger(), 0, 0.0, complete=False, engine="kafka")
        self._work = Work(plan, job, topic, merge_topic, result, watch)

    @property
    def result(self) -> Run:
        """What has come of it so far."""
        return self._work.result

    @property
    def status(self) -> Status:
        """How the worker is."""
        return self._work.status

    def stop(self) -> None:
        """Ask the worker to commit and end; safe from a signal handler."""
        self._work.stop.set()

    def run(self, progress: Callable[[Progress], None] | None = None) -> Run:
        """Read, judge, send, until asked to stop or until the end that the job names."""
        try:
            return self._run(progress)
        except KafkaException as error:
            raise refused(str(self._work.job.source), error.args[0]) from error

    def _run(self, progress: Callable[[Progress], None] | None) -> Run:
        work, result = self._work, self._work.result
        began = time.monotonic()
        complete, lost = False, 0
        while not complete and not work.stop.is_set():
            session = Session(work, progress)
            try:
                complete = session.run()
            except LostTransactionError as error:
                # Nothing of it took place, or it all did: the committed offsets will say.
                session.drop()
                lost = 0 if session.commits else lost + 1
                if lost == _TRIES:
                    raise UserError(f"{work.job.source}: no transaction goes through, the last one because: {error}") from error
                result.notes = [f"a transaction was lost and its rows folded again: {error}"]
                work.stop.wait(_AGAIN_SECONDS)
            except BaseException:
                session.drop()
                raise
        result.seconds, result.complete = time.monotonic() - began, complete
        result.notes = [*work.plan.notes, *result.notes, *work.words]
        result.worst = work.worst.records(work.plan)
        return result
