"""A topic of a broker that asks for TLS and a password, by Spark's own client: the address is the one that workers on Kafka take."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from secure_broker import PASSWORD, USER, Secure, secure, secure_uri
from test_stream import written

from offbeat.engines.spark.stream import SparkStream
from offbeat.errors import UserError
from offbeat.io.kafka.address import kafka_address
from offbeat.io.kafka.java_settings import java_settings
from offbeat.spec.load import load_plan

__all__ = ["secure"]
PIPELINE = """
name: secure
source: {key: k, time: t, columns: {v: float}}
quality: {max_jump: 10000d}
views: {v: {detectors: {high: {type: rule, when: v > 150}}}}
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFBEAT_KAFKA_USERNAME", USER)
    monkeypatch.setenv("OFFBEAT_KAFKA_PASSWORD", PASSWORD)


@pytest.mark.heavy
@pytest.mark.usefixtures("environment")
def test_tls_and_password(spark: SparkSession, secure: Secure, tmp_path: Path) -> None:
    (tmp_path / "secure.yaml").write_text(PIPELINE)
    topic = secure.plain.topic(2)
    rows = [f'{{"k": "a", "t": "2024-01-01T10:00:0{second}Z", "v": {100 * second}}}'.encode() for second in range(5)]
    secure.plain.fill(topic, rows, "k")
    plan, address = load_plan(tmp_path / "secure.yaml"), kafka_address(secure_uri(secure, topic))
    out = tmp_path / "out.parquet"
    SparkStream(spark, plan, address, state=tmp_path / "state", alerts=[str(out)], until_end=True).run()
    assert sorted(alert["row"]["v"] for alert in written(out)) == [200.0, 300.0, 400.0]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFBEAT_KAFKA_USERNAME", 'a"b')
    monkeypatch.setenv("OFFBEAT_KAFKA_PASSWORD", "c\\d")
    found = java_settings(kafka_address("kafka://h:1/t?security.protocol=SASL_SSL&sasl.mechanisms=PLAIN&ssl.ca.location=/ca.pem"))
    assert found == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": "/ca.pem",
        "sasl.jaas.config": 'org.apache.kafka.common.security.plain.PlainLoginModule required username="a\\"b" password="c\\\\d";',
    }
    for setting in ("ssl.key.location=/k", "sasl.mechanism=GSSAPI"):
        with pytest.raises(UserError, match=setting.partition("=")[0]):
            java_settings(kafka_address(f"kafka://h:1/t?{setting}"))
