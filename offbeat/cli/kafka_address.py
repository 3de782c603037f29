"""Addresses of topics on the command line."""

from __future__ import annotations

from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress, kafka_address


def address_of_topic(text: str) -> KafkaAddress:
    """The parts of an address. Raises UserError for one that cannot be used, and where the Kafka client is not installed."""
    try:
        import confluent_kafka  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError("Kafka needs confluent-kafka: pip install 'offbeat[kafka]'") from error
    return kafka_address(text)
