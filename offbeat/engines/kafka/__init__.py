"""The Kafka engine: a worker reads partitions of a topic as a member of a group, and commits alerts and offsets in one transaction."""
