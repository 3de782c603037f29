"""What a person does with a worker: starts it somewhere, watches it, stops it, reads its alerts; and what it refuses."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from broker import free_ports
from command import DATA, finished, process
from confluent_kafka import KafkaException, Producer
from confluent_kafka.cimpl import NewPartitions, NewTopic
from deployed import named_metrics
from kafka_rows import first_lines
from kafka_topics import Brokers
from test_kafka_poison import PIPELINE, _row

PUNCTUATION = "offbeat.punctuation"


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(PIPELINE)
    return path


def test_health_and_figures(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    topic, out, port = kafka.topic(1), kafka.topic(1), free_ports(1)[0]
    kafka.fill(topic, [_row("a", 1, 500), _row("a", 2, 1), b"nothing"], None)
    command = ["run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--state", tmp_path, "--metrics-port", port]
    with process(*command) as running:
        text, until = "", time.monotonic() + 60
        while 'offbeat_rows_total{outcome="scored",pipeline="poison"} 2.0' not in text:
            assert time.monotonic() < until, text
            try:
                text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            except urllib.error.URLError:
                time.sleep(0.2)
        assert 'offbeat_quarantined_rows_total{pipeline="poison",reason="type"} 1.0' in text
        assert 'offbeat_alerts_total{pipeline="poison"} 1.0' in text
        assert f'offbeat_lag_records{{partition="0",pipeline="poison",topic="{topic}"}} 0.0' in text
        emitted = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))  # of models too, which this pipeline has not
        assert named_metrics() <= emitted, "what Grafana and the alert rules ask for is there"
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read() == b"ok\n"
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)
        assert running.returncode == 130
        assert time.monotonic() - began < 10
        assert "continues" in err


def test_where_a_group_begins_and_ends(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    topic = kafka.topic(1)
    kafka.fill(topic, [_row("a", 1, 500)], "k")
    begun = finished(
        "run", pipeline, kafka.uri(topic), "--group", f"{topic}.new", "--from", "latest", "--until", "end", "--state", tmp_path, "--json"
    )
    assert begun.code == 0, begun.err
    assert json.loads(begun.out)["rows_in"] == 0
    kafka.fill(topic, [_row("a", 2, 600)], "k")
    again = finished("run", pipeline, kafka.uri(topic), "--group", f"{topic}.new", "--until", "end", "--state", tmp_path, "--json")
    assert json.loads(again.out)["rows_in"] == 1, again.err
    refused = finished("run", pipeline, kafka.uri(topic), "--group", f"{topic}.none", "--from", "committed", "--state", tmp_path)
    assert refused.code == 2
    assert "has read nothing yet" in refused.err


def test_one_topic_after_another(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    """Under one group and name, while the broker still waits for the worker that had the topic before."""
    group = kafka.topic(1)
    for _ in range(3):
        topic = kafka.topic(2)
        kafka.fill(topic, [_row("a", 1, 500), _row("b", 1, 500)], "k")
        source = f"{kafka.uri(topic)}?session.timeout.ms=5000&heartbeat.interval.ms=1000"
        done = finished("run", pipeline, source, "--group", group, "--until", "end", "--state", tmp_path / topic, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["alerts"] == 2


def test_until_a_time_to_come(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    """Records come until the time does; or until one comes that is not before it."""
    topic = kafka.topic(1)
    kafka.fill(topic, [_row("a", 1, 500)], "k")
    for seconds, group in ((15, "soon"), (1800, "far")):
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        before = len(kafka.read(topic))
        name = f"{topic}.{group}"
        command = ["run", pipeline, kafka.uri(topic), "--group", name, "--until", until, "--state", tmp_path, "--json"]
        with process(*command) as running:
            end = time.monotonic() + 60
            while kafka.behind(name, topic) != 0:
                assert time.monotonic() < end
                time.sleep(0.1)
            kafka.fill(topic, [_row("a", 1 + before, 500)], "k")
            if group == "far":
                producer = Producer({"bootstrap.servers": kafka.bootstrap})
                producer.produce(topic, _row("a", 50, 500), "a", timestamp=int((time.time() + 2400) * 1000))
                assert producer.flush(30) == 0
            out, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
        assert json.loads(out)["rows_in"] == before + 1


def test_what_no_longer_fits_is_refused(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    topic = kafka.topic(1)
    kafka.fill(topic, [_row("a", second, second) for second in range(9)], "k")
    command = ["run", pipeline, kafka.uri(topic), "--group", topic, "--until", "end", "--state", tmp_path / "state"]
    assert finished(*command).code == 0
    # Another window or order cannot go on from this state; another threshold can.
    other = finished(*command, "--set", "quality.lateness=5s")
    assert other.code == 2
    assert "--group" in other.err
    assert finished(*command, "--set", "v.high.when=v > 7").code == 0
    # Records that were never read are gone.
    kafka.fill(topic, [_row("a", second, second) for second in range(10, 20)], "k")
    from confluent_kafka import TopicPartition  # noqa: PLC0415

    admin = kafka.admin()
    for done in admin.delete_records([TopicPartition(topic, 0, 15)]).values():
        done.result(30)
    gone = finished(*command)
    assert gone.code == 2
    assert "6 records" in gone.err
    # More partitions.
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)
    time.sleep(1)
    grown = finished(*command)
    assert grown.code == 2
    assert "3 partitions and had 1" in grown.err
    # A new topic of the same name.
    admin.delete_topics([topic])[topic].result(30)
    _created(kafka, topic)
    anew = finished(*command)
    assert anew.code == 2
    assert "created again" in anew.err


def _created(kafka: Brokers, topic: str) -> None:
    for _ in range(100):
        admin = kafka.admin()
        try:
            admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
            return
        except KafkaException:
            time.sleep(0.2)  # the old one is still being deleted


def test_no_topic_and_no_broker(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    done = finished("run", pipeline, kafka.uri("nobody"), "--state", tmp_path)
    assert (done.code, "'nobody'" in done.err) == (2, True), done.err
    done = finished("run", pipeline, f"kafka://127.0.0.1:{free_ports(1)[0]}/t?socket.connection.setup.timeout.ms=2000", "--state", tmp_path)
    assert (done.code, "no broker answers" in done.err) == (2, True), done.err


def test_alerts_of_a_topic(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    topic, out = kafka.topic(1), kafka.topic(2)
    kafka.fill(topic, [_row("a", 1, 500), _row("b", 2, 900)], None)
    command = ["run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--group", topic, "--until", "end", "--state", tmp_path]
    assert finished(*command).code == 0
    listed = finished("alerts", kafka.uri(out), "--no-follow", "--pipeline", pipeline)
    assert listed.code == 0, listed.err
    assert listed.out.index("900") < listed.out.index("500")
    explained = finished("explain", "worst", "--alerts", kafka.uri(out), "--pipeline", pipeline)
    assert "900" in explained.out, explained.err
    with process("alerts", kafka.uri(out), "--follow", "--pipeline", pipeline) as following:
        assert following.stdout is not None
        while "900" not in following.stdout.readline():
            pass
        kafka.fill(topic, [_row("a", 3, 777)], None)
        assert finished(*command).code == 0
        while "777" not in following.stdout.readline():
            pass
        following.send_signal(signal.SIGINT)
        assert following.wait(30) in {0, 130}


@pytest.mark.heavy
def test_a_replay_goes_on_where_it_was_killed(kafka: Brokers, tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    wanted = first_lines(DATA / "trades", "trades", 30_000)
    file.write_bytes(b"\n".join(wanted) + b"\n")
    topic = kafka.topic(3, retention_ms="-1")
    command = ["replay", file, kafka.uri(topic), "--pipeline", "trades", "--speed", "max", "--resume", topic, "--punctuate", "1h"]
    for _ in range(2):
        with process(*command) as running:
            before, until = len(kafka.read(topic)), time.monotonic() + 60
            while len(kafka.read(topic)) <= before and running.poll() is None and time.monotonic() < until:
                pass
            running.kill()
    done = finished(*command)
    assert done.code == 0, done.err
    messages = kafka.read(topic)
    marks = [m for m in messages if (m.value() or b"").startswith(b'{"' + PUNCTUATION.encode())]
    rows = [m for m in messages if m not in marks]
    assert sorted(m.value() or b"" for m in rows) == sorted(wanted)
    for message in rows[:100]:
        row = json.loads(message.value() or b"")
        assert message.key() == row["symbol"].encode()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(message.timestamp()[1] / 1000))
        assert row["ts_recv"].startswith(stamp)
    # Every partition is told the same times, and no row behind a punctuation is before it.
    told: dict[int, list[str]] = {}
    for message in messages:
        record, number = json.loads(message.value() or b""), message.partition() or 0
        if PUNCTUATION in record:
            told.setdefault(number, []).append(record[PUNCTUATION])
        elif told.get(number):
            assert record["ts_recv"] >= told[number][-1]
    assert len({tuple(times) for times in told.values()}) == 1
    assert len(told) == 3
    assert all(times == sorted(set(times)) for times in told.values())
    # Under its name another source would be left out as far as this one has come.
    file.write_bytes(b"\n".join(wanted[1:]) + b"\n")
    done = finished(*command)
    assert (done.code, "--resume" in done.err) == (2, True), done.err
    assert len(kafka.read(topic)) == len(messages)


@pytest.mark.heavy
def test_files_to_a_topic(kafka: Brokers, tmp_path: Path) -> None:
    """Also where the run is killed again and again: each alert is there once."""
    plain, out = tmp_path / "plain.jsonl", kafka.topic(2)
    assert finished("run", "trades", DATA / "trades", "--alerts", plain).code == 0
    command = ["run", "trades", DATA / "trades", "--alerts", kafka.uri(out)]
    for _ in range(2):
        with process(*command, "--state", tmp_path / "state") as running:
            before, until = len(kafka.read(out)), time.monotonic() + 60
            while len(kafka.read(out)) <= before and running.poll() is None and time.monotonic() < until:
                pass
            running.kill()
    done = finished(*command, "--state", tmp_path / "state")
    assert done.code == 0, done.err
    wanted = sorted(plain.read_bytes().splitlines())
    assert sorted(message.value() or b"" for message in kafka.read(out)) == wanted
    # Without a state, one transaction.
    once = kafka.topic(1)
    assert finished("run", "trades", DATA / "trades", "--alerts", kafka.uri(once)).code == 0
    assert sorted(message.value() or b"" for message in kafka.read(once)) == wanted
