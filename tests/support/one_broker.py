"""One real broker for all tests of Kafka; without Maven or Java they are skipped, in CI they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kafka_topics import Brokers


@pytest.fixture(scope="session")
def kafka() -> Iterator[Brokers]:
    from broker import running, why_not  # noqa: PLC0415 - other tests need none of it
    from kafka_topics import Brokers  # noqa: PLC0415

    why = why_not()
    if why is not None:
        assert not os.environ.get("CI"), f"CI must have a broker: {why}"
        pytest.skip(why)
    with running() as cluster:
        yield Brokers(cluster.bootstrap)
