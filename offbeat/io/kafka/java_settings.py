"""An address's settings, which are librdkafka's, for Kafka's Java client, as Spark has it."""

from __future__ import annotations

import os

from offbeat.errors import UserError
from offbeat.io.kafka.address import SECRETS, KafkaAddress

_LOGIN = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}
_OTHERS = {"ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "enable.ssl.certificate.verification"}
"""Settings of TLS that mean another thing there, or nothing: they would be ignored in silence."""


def java_settings(address: KafkaAddress) -> dict[str, str]:
    """Its settings with user and password from the environment (see `SECRETS`). Raises UserError for what cannot be said there."""
    made: dict[str, str] = {}
    for name, value in address.settings.items():
        if name in _OTHERS:
            raise UserError(f"{address}: Spark's client of Kafka does not know {name}; it takes a user and password, with ssl.ca.location")
        if name == "ssl.ca.location":
            made |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": value}
        else:
            made["sasl.mechanism" if name == "sasl.mechanisms" else name] = value
    user, password = (os.environ.get(SECRETS[name]) for name in ("sasl.username", "sasl.password"))
    mechanism = made.get("sasl.mechanism", "")
    if mechanism and mechanism not in _LOGIN:
        raise UserError(f"{address}: sasl.mechanism={mechanism} is not for --engine spark; {', '.join(_LOGIN)} are")
    if mechanism and user is not None and password is not None:
        made["sasl.jaas.config"] = f"{_LOGIN[mechanism]} required username={_quoted(user)} password={_quoted(password)};"
    return made


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
