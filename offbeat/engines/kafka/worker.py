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

from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.engines.kafka.job import Job, Status, Work
from offbeat.engines.kafka.membership import stay
from offbeat.engines.kafka.places import recreated
from offbeat.engines.kafka.session import Session
from offbeat.engines.kafka.topics import Cluster, look_up, partials_name, partials_topic
from offbeat.engines.run_result import Progress, Run
from offbeat.engines.snapshots import register
from offbeat.errors import UserError
from offbeat.io.kafka.outbox import LostTransactionError


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
        work, result = self._work, self._work.result
        began = time.monotonic()

        def lost(error: LostTransactionError) -> None:
            result.notes = [f"a transaction was lost and its rows folded again: {error}"]

        complete = stay(lambda: Session(work, progress), work.job.source, work.stop, lost)
        result.seconds, result.complete = time.monotonic() - began, complete
        result.notes = [*work.plan.notes, *result.notes, *work.words]
        result.worst = work.worst.records(work.plan)
        return result
