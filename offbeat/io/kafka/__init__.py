"""Apache Kafka: addresses, payloads, and the transactional output. Needs the extra `kafka`."""
