"""Apache Kafka: addresses, payloads, and the transactional output. Needs the extra `kafka`."""

KAFKA = "kafka://"
"""Begins the address of a topic; see `address`."""
