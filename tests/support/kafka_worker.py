"""A worker that dies at a given step, to be run as a process: `python kafka_worker.py JOB`, the job as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from offbeat.cli.interruption import Interruption
from offbeat.engines.kafka import session, shards
from offbeat.engines.kafka.job import Job
from offbeat.engines.kafka.worker import KafkaEngine
from offbeat.engines.snapshots import Snapshots
from offbeat.io.kafka.address import kafka_address
from offbeat.io.kafka.outbox import Outbox
from offbeat.spec.load import load_plan

STEPS = ("polled", "folded", "sent", "commit", "committed", "snapshot", "kept", "replayed")


def _dying(step: str, at: int, asleep: float) -> Callable[[str], None]:
    """asleep: it is stopped instead of killed, and so many seconds after it was woken it goes on: threads of the client are up before."""
    left = at

    def here(now: str) -> None:
        nonlocal left
        if now == step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGSTOP if asleep else signal.SIGKILL)
                time.sleep(asleep)

    return here


def _around(owner: Any, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None) -> None:
    own = getattr(owner, name)

    def call(*args: Any, **named: Any) -> Any:
        if before is not None:
            before(*args)
        out = own(*args, **named)
        if after is not None:
            after(*args)
        return out

    setattr(owner, name, call)


def main() -> None:
    job = json.loads(sys.argv[1])
    here = _dying(job.get("step", ""), job.get("at", 1), job.get("asleep", 0.0))
    # Small transactions and a snapshot after each, so that there is something between the steps.
    session._AT_ONCE = job.get("at_once", 400)
    session._BEHIND_COMMIT_SECONDS = 0.0
    shards._CHEAP_SECONDS, shards._TIMES = job.get("snapshot_seconds", 0.0), 0
    _around(session.Session, "_poll", None, lambda *_: here("polled"))

    def folded(_: Any, shard: shards.RowShard, *__: Any) -> None:
        here("replayed" if shard.silent else "folded")

    _around(session.Session, "_fold", None, folded)
    _around(session.Session, "_merge", None, lambda _, shard, *__: here("merge replayed" if shard.silent else "merged"))
    _around(Outbox, "send", None, lambda *_: here("sent"))
    _around(Outbox, "commit", lambda *_: here("commit"), lambda *_: here("committed"))
    _around(Snapshots, "put", lambda *_: here("snapshot"), lambda *_: here("kept"))
    source, alerts = kafka_address(job["source"]), kafka_address(job["alerts"])
    plan = load_plan(job["pipeline"])
    own = Job(
        source=source,
        group=job["group"],
        instance=job.get("instance", "a"),
        state=Path(job["state"]),
        alerts=alerts,
        outputs=tuple(job.get("outputs", ())),
        dead_letters=job.get("dead_letters"),
        until_end=job.get("until_end", False),
    )
    engine = KafkaEngine(plan, own)
    with Interruption(engine.stop, live=False):
        done = engine.run()
    sys.stdout.write(json.dumps(done.as_dict()))


if __name__ == "__main__":
    main()
