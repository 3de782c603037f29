"""`kafka://HOST:PORT[,HOST:PORT…]/TOPIC?SETTING=VALUE`: a topic, and how to reach its brokers."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from offbeat.errors import UserError
from offbeat.io.kafka import KAFKA

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}")
SECRETS = {
    "sasl.username": "OFFBEAT_KAFKA_USERNAME",
    "sasl.password": "OFFBEAT_KAFKA_PASSWORD",
    "ssl.key.password": "OFFBEAT_KAFKA_KEY_PASSWORD",
    "ssl.keystore.password": "OFFBEAT_KAFKA_KEYSTORE_PASSWORD",
    "sasl.oauthbearer.client.secret": "OFFBEAT_KAFKA_CLIENT_SECRET",
}
"""Settings that are taken from the environment, and never from an address: that can be seen in lists of processes and in logs."""
_SECRET = ("password", "passphrase", "secret")
_OURS = frozenset(
    {
        "bootstrap.servers",
        "metadata.broker.list",
        "group.id",
        "group.instance.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "isolation.level",
        "transactional.id",
        "enable.idempotence",
        "partition.assignment.strategy",
        "enable.partition.eof",
    }
)
"""Settings that decide whether rows are lost or doubled."""


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A topic and how to reach it."""

    brokers: str
    """HOST:PORT of one or more brokers, with commas between them."""
    topic: str
    settings: Mapping[str, str]
    """librdkafka's settings from the address: no secrets."""

    def __str__(self) -> str:
        return f"{KAFKA}{self.brokers}/{self.topic}"

    def client(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """What a client of librdkafka is made with: `more`, the address's settings, and secrets from the environment (see `SECRETS`)."""
        known = {name: os.environ[variable] for name, variable in SECRETS.items() if variable in os.environ}
        return {"bootstrap.servers": self.brokers, "logger": _LOGGER, **more, **self.settings, **known}


def secrets() -> dict[str, str]:
    """Those of `SECRETS` that are set here, by environment variable: for processes elsewhere that are to reach the same brokers."""
    return {variable: os.environ[variable] for variable in SECRETS.values() if variable in os.environ}


def kafka_address(text: str) -> KafkaAddress:
    """The parts of an address. Raises UserError, one line, for one that cannot be used."""
    if not text.startswith(KAFKA):
        raise UserError(f"{text}: expected {KAFKA}HOST:PORT/TOPIC")
    place, _, query = text.removeprefix(KAFKA).partition("?")
    brokers, slash, topic = place.partition("/")
    named = all(_BROKER.fullmatch(broker) for broker in brokers.split(","))
    if "@" in place or ("@" in query and not named):  # a password may hold anything
        names = " and ".join(SECRETS[name] for name in ("sasl.username", "sasl.password"))
        raise UserError(f"{KAFKA}…: user and password do not belong into an address; set {names} in the environment")
    if not named:
        raise UserError(f"{KAFKA}{place}: expected {KAFKA}HOST:PORT/TOPIC, and {brokers or 'nothing'!r} is no HOST:PORT")
    topic = unquote(topic)
    if not slash or not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
        raise UserError(f"{KAFKA}{place}: expected {KAFKA}HOST:PORT/TOPIC; the name of a topic has letters, digits, '.', '_' and '-' only")
    settings: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in SECRETS or any(word in name for word in _SECRET) or name.endswith(".pem"):
            known = SECRETS.get(name)
            where = f"set {known} in the environment" if known else "name a file that holds it instead"
            raise UserError(f"{KAFKA}{place}: {name} is a secret and does not belong into an address; {where}")
        if name in _OURS:
            raise UserError(f"{KAFKA}{place}: {name} is set by offbeat, as alerts could be lost or doubled otherwise; leave it out")
        if name in settings:
            raise UserError(f"{KAFKA}{place}: the setting {name!r} stands twice")
        settings[name] = value
    return KafkaAddress(brokers, topic, settings)


_LOGGER = logging.getLogger("offbeat.kafka")
"""Takes what librdkafka says of its connections, instead of standard error."""
_LOGGER.addHandler(logging.NullHandler())
_LOGGER.propagate = False
