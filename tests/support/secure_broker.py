"""A broker that asks for TLS and SASL/SCRAM."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from broker import running, why_not
from kafka_topics import Brokers

USER, PASSWORD = "surveillance", "s3cret-and-long"


@dataclass(frozen=True)
class Secure:
    """Its topics, reached without a password and with."""

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


def secure_uri(secure: Secure, topic: str) -> str:
    """The address of a topic, without the password."""
    return f"kafka://{secure.address}/{topic}?security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-256&ssl.ca.location={secure.authority}"
