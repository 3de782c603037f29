"""TLS and SASL/SCRAM against a broker that asks for them; secrets stand in the environment, and in no output."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from broker import running, why_not
from command import finished
from kafka_topics import Brokers
from test_kafka_poison import PIPELINE, _row

USER, PASSWORD = "surveillance", "s3cret-and-long"
pytestmark = pytest.mark.heavy


@dataclass(frozen=True)
class Secure:
    plain: Brokers
    address: str
    authority: Path


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, kafka: Brokers) -> Iterator[Secure]:  # noqa: ARG001 - it skips where there is none
    assert why_not() is None
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    store = folder / "store.pem"
    store.write_text(key.read_text() + certificate.read_text())
    listener = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "sasl.enabled.mechanisms": "SCRAM-SHA-256",
        "scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    }
    scram = ("--add-scram", f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]")
    with running(1, None, *scram, secure=listener) as cluster:
        yield Secure(Brokers(cluster.bootstrap), f"127.0.0.1:{cluster.brokers[0].secure_port}", certificate)


def _uri(secure: Secure, topic: str) -> str:
    return f"kafka://{secure.address}/{topic}?security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-256&ssl.ca.location={secure.authority}"


def test_tls_and_password(secure: Secure, tmp_path: Path) -> None:
    pipeline = tmp_path / "secure.yaml"
    pipeline.write_text(PIPELINE)
    topic, out = secure.plain.topic(2), secure.plain.topic(1)
    secure.plain.fill(topic, [_row("a", second, 100 * second) for second in range(4)], "k")
    command = ["run", pipeline, _uri(secure, topic), "--alerts", _uri(secure, out), "--state", tmp_path, "--until", "end", "--json"]
    done = finished(*command, env={"OFFBEAT_KAFKA_USERNAME": USER, "OFFBEAT_KAFKA_PASSWORD": PASSWORD})
    assert done.code == 0, done.err
    assert json.loads(done.out)["alerts"] == 2
    assert [alert["row"]["v"] for alert in secure.plain.alerts(out)] == [200.0, 300.0]
    assert PASSWORD not in done.out + done.err
    assert not any(PASSWORD.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_wrong_password_is_one_line(secure: Secure, tmp_path: Path) -> None:
    pipeline = tmp_path / "secure.yaml"
    pipeline.write_text(PIPELINE)
    topic = secure.plain.topic(1)
    done = finished(
        "run", pipeline, _uri(secure, topic), "--state", tmp_path, "--until", "end",
        env={"OFFBEAT_KAFKA_USERNAME": USER, "OFFBEAT_KAFKA_PASSWORD": "wrong-and-longer"},
    )  # fmt: skip
    assert done.code == 2
    lines = [line for line in done.err.splitlines() if not line.startswith("offbeat: first start:")]
    assert len(lines) == 1, done.err
    assert "password" in lines[0]
    assert "wrong-and-longer" not in done.err


def test_a_password_in_the_address_is_refused(tmp_path: Path) -> None:
    for uri in (f"kafka://u:{PASSWORD}@127.0.0.1:1/t", f"kafka://127.0.0.1:1/t?sasl.password={PASSWORD}"):
        done = finished("run", "trades", uri, "--state", tmp_path)
        assert done.code == 2
        assert "OFFBEAT_KAFKA_PASSWORD" in done.err
        assert PASSWORD not in done.err + done.out
