"""TLS and SASL/SCRAM against a broker that asks for them; secrets stand in the environment, and in no output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import finished
from secure_broker import PASSWORD, USER, Secure, secure, secure_uri
from test_kafka_poison import PIPELINE, _row

__all__ = ["secure"]

pytestmark = pytest.mark.heavy


def test_tls_and_password(secure: Secure, tmp_path: Path) -> None:
    pipeline = tmp_path / "secure.yaml"
    pipeline.write_text(PIPELINE)
    topic, out = secure.plain.topic(2), secure.plain.topic(1)
    secure.plain.fill(topic, [_row("a", second, 100 * second) for second in range(4)], "k")
    command = [
        "run",
        pipeline,
        secure_uri(secure, topic),
        "--alerts",
        secure_uri(secure, out),
        "--state",
        tmp_path,
        "--until",
        "end",
        "--json",
    ]
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
        "run", pipeline, secure_uri(secure, topic), "--state", tmp_path, "--until", "end",
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
