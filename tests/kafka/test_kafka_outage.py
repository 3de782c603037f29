"""Brokers that hang, die and come back: a worker waits or starts its transaction again, and every alert is there once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import Cluster, running, why_not
from kafka_rows import Trades
from kafka_topics import Brokers
from test_kafka_crash import _job, _records, _run, _until, _worker

from offbeat.errors import UserError
from offbeat.io.kafka import outbox, reading
from offbeat.io.kafka.address import kafka_address
from offbeat.io.kafka.outbox import LostTransactionError, Outbox

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def three(kafka: Brokers) -> Iterator[Cluster]:  # noqa: ARG001 - it skips where there is none
    assert why_not() is None
    with running(3) as cluster:
        yield cluster


def test_one_of_three_is_lost(three: Cluster, trades: Trades, tmp_path: Path) -> None:
    kafka = Brokers(three.bootstrap, copies=3)
    topic, out = kafka.topic(4), kafka.topic(2)
    third = len(trades.lines) // 3
    job = _job(kafka, topic, out, tmp_path / "state", until_end=False, at_once=50)
    with _worker(job):
        kafka.fill(topic, trades.lines[:third], "symbol")
        _until(lambda: kafka.behind(out, topic) == 0, "the first third is read")
        three.brokers[0].stop()  # whichever partitions, and the coordinator, it had move to others
        kafka.fill(topic, trades.lines[third : 2 * third], "symbol")
        _until(lambda: kafka.behind(out, topic) == 0, "the others have taken over")
        three.brokers[0].start()
        three.brokers[0].wait()
        three.brokers[1].stop()
        kafka.fill(topic, trades.lines[2 * third :], "symbol")
        _until(lambda: kafka.behind(out, topic) == 0, "all is read")
    code, err = _run({**job, "until_end": True})
    assert code == 0, err
    assert _records(kafka, out) == trades.wanted


def test_a_call_that_never_comes_back(kafka: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of `send_offsets_to_transaction` when its broker went away: the transaction is lost, and the next producer of the name goes on."""
    topic = kafka.topic(1)
    address = kafka_address(kafka.uri(topic))
    stuck = Outbox(address, topic)
    stuck.send(topic, None, b"lost")
    monkeypatch.setattr(outbox, "TRANSACTION_MS", 100)
    monkeypatch.setattr(outbox, "_GRACE", 0.1)
    with pytest.raises(LostTransactionError, match="does not come back"):
        stuck._retried(lambda: time.sleep(3600))
    monkeypatch.undo()
    assert not stuck.dirty
    following = Outbox(address, topic)
    following.send(topic, None, b"kept")
    following.commit([], None)
    assert [message.value() for message in kafka.read(topic)] == [b"kept"]


def test_a_broker_that_hangs(trades: Trades, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than a transaction may take: it is lost, and its rows are folded again."""
    with running() as cluster:
        kafka = Brokers(cluster.bootstrap)
        topic, out = kafka.topic(2), kafka.topic(1)
        half = len(trades.lines) // 2
        job = _job(kafka, topic, out, tmp_path / "state", until_end=False, at_once=50)
        with _worker(job) as worker:
            kafka.fill(topic, trades.lines[:half], "symbol")
            _until(lambda: kafka.behind(out, topic) not in (None, half), "it has begun")
            cluster.brokers[0].send(signal.SIGSTOP)
            time.sleep(14)
            cluster.brokers[0].send(signal.SIGCONT)
            kafka.fill(topic, trades.lines[half:], "symbol")
            _until(lambda: kafka.behind(out, topic) == 0, "it has caught up", 180)
            assert worker.poll() is None, "it ended"
        code, err = _run({**job, "until_end": True})
        assert code == 0, err
        assert _records(kafka, out) == trades.wanted
        # Who lists the alerts of a broker that does not answer is told so, and does not wait for ever.
        monkeypatch.setattr(reading, "_SECONDS", 3.0)
        reader = reading.AlertReader(kafka_address(kafka.uri(out)))
        cluster.brokers[0].send(signal.SIGSTOP)
        try:
            with pytest.raises(UserError, match="no broker answers"):
                reader.there()
        finally:
            cluster.brokers[0].send(signal.SIGCONT)
            reader.close()
