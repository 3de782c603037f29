"""The page on a topic of Kafka."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from alert_blocks import as_table, two_bars
from broker import Broker, running
from dashboards import LINES, looking, served
from kafka_topics import Brokers
from playwright.sync_api import expect
from waiting import until

from offbeat.dashboard.alert_buffer import AlertBuffer
from offbeat.dashboard.open_feed import open_feed
from offbeat.io.report.console import alert_records

if TYPE_CHECKING:
    from playwright.sync_api import Browser

JUMP = alert_records(as_table(two_bars()))[0]


@pytest.mark.heavy
def test_alerts_of_a_topic_appear_as_they_come(browser: Browser, kafka: Brokers) -> None:
    topic = kafka.topic(2)
    first, second = (JUMP | {"alert_id": f"{i:032x}", "key": f"KEY{i}"} for i in (1, 2))
    kafka.fill(topic, [json.dumps(first).encode()], "key")
    with served("--alerts", kafka.uri(topic)) as url, looking(browser, url) as page:
        expect(page.locator(LINES)).to_have_count(1, timeout=30_000)
        kafka.fill(topic, [json.dumps(second).encode()], "key")
        expect(page.locator(LINES)).to_have_count(2)  # how soon is asked where alerts come from a file
        page.locator(LINES).first.click()
        expect(page.get_by_text("a topic does not tell which row")).to_be_visible()
    with served("--alerts", kafka.uri("nothing-there")) as url, looking(browser, url) as page:
        expect(page.get_by_text("there is no topic")).to_be_visible(timeout=30_000)


@pytest.mark.heavy
def test_brokers_that_go_are_said_to_be_gone_and_are_there_again() -> None:
    """Ended, and stopped so that no connection closes; what was read stays, and what came later is read when they are back."""
    with running() as cluster:
        brokers = Brokers(cluster.bootstrap)
        topic = brokers.topic(1)
        (broker,) = cluster.brokers

        def send(number: int) -> None:
            brokers.fill(topic, [json.dumps(JUMP | {"alert_id": f"{number:032x}", "key": f"KEY{number}"}).encode()], "key")

        send(1)
        feed = open_feed(brokers.uri(topic), AlertBuffer())
        feed.start()
        try:
            until(lambda: feed.status.read and len(feed.buffer.rows()) == 1, 60)
            for number, (leave, come) in enumerate([(broker.stop, broker.start), (_sender(broker, "STOP"), _sender(broker, "CONT"))], 2):
                leave()
                until(lambda: not feed.status.there, 60)
                assert "no broker answers" in feed.status.why
                assert len(feed.buffer.rows()) == number - 1, "what was read stays"
                come()
                broker.wait()
                send(number)
                until(lambda number=number: feed.status.there and len(feed.buffer.rows()) == number, 60)  # type: ignore[misc]
            assert sum(line.endswith("is there again") for _, line, _ in feed.log.lines) == 2
        finally:
            feed.stop()


def _sender(broker: Broker, name: str) -> Callable[[], None]:
    return lambda: broker.send(signal.Signals[f"SIG{name}"])
