"""What brokers refuse, in one plain line each."""

from __future__ import annotations

from confluent_kafka import KafkaError

from offbeat.errors import UserError

_WORDS = {
    KafkaError._AUTHENTICATION: "the broker refuses this user or password",
    KafkaError.SASL_AUTHENTICATION_FAILED: "the broker refuses this user or password",
    KafkaError._SSL: "no secure connection: the broker's certificate or ours is not accepted",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this user may not use the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "this user may not use the group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "this user may not open transactions",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "this user may not use the cluster",
    KafkaError._ALL_BROKERS_DOWN: "no broker answers",
    KafkaError._TRANSPORT: "no broker answers",
    KafkaError._RESOLVE: "there is no such host",
    KafkaError._TIMED_OUT: "no broker answers in time",
    KafkaError._INVALID_ARG: "a setting is not accepted",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "there is no such topic",
    KafkaError._UNKNOWN_TOPIC: "there is no such topic",
}
LASTING = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._SSL,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
"""Errors that waiting does not mend."""


def refused(what: str, error: KafkaError) -> UserError:
    """The error as one line. `what` is what was asked for: an address, without secrets."""
    known = _WORDS.get(error.code())
    said = error.str().splitlines()[0] if error.str() else error.name()
    return UserError(f"{what}: {known} ({said})" if known else f"{what}: {said}")
