"""What comes from outside as text: addresses, whose secrets are never shown, and records that look like punctuation."""

from __future__ import annotations

import pytest

from offbeat.errors import UserError
from offbeat.io.kafka.address import kafka_address
from offbeat.io.kafka.payloads import punctuated_ns


@pytest.mark.parametrize(
    "address",
    [
        "kafka://broker/t?sasl.password=hunter2",
        "kafka://b:9092?sasl.password=hunter2",
        "kafka://b:9092/t/x?sasl.password=hunter2",
        "kafka://b:9092/t?sasl.oauthbearer.assertion.private.key.passphrase=hunter2",
        "kafka://user:hunter2@b:9092/t",
        "kafka://user:hunter2/x@b:9092/t",
        "kafka://user:hunter2?x@b:9092/t",
    ],
)
def test_secrets_are_refused_and_not_shown(address: str) -> None:
    with pytest.raises(UserError) as error:
        kafka_address(address)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("value", [b"[" * 200_000, b'"yesterday"', b'"9999-12-31T00:00:00Z"', b"1" * 5000, b'"\xff"'])
def test_what_only_looks_like_punctuation(value: bytes) -> None:
    """It is a row that cannot be read, and no end of the worker."""
    assert punctuated_ns(b'{"offbeat.punctuation": ' + value + b"}") is None
