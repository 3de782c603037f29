"""The page on a topic of Kafka."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from alert_blocks import as_table, two_bars
from dashboards import LINES, looking, served
from playwright.sync_api import expect

from offbeat.io.report.console import alert_records

if TYPE_CHECKING:
    from kafka_topics import Brokers
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
        began = time.monotonic()
        expect(page.locator(LINES)).to_have_count(2, timeout=10_000)
        assert time.monotonic() - began < 4, "two seconds, and two for a busy machine"
        page.locator(LINES).first.click()
        expect(page.get_by_text("a topic does not tell which row")).to_be_visible()
    with served("--alerts", kafka.uri("nothing-there")) as url, looking(browser, url) as page:
        expect(page.get_by_text("there is no topic")).to_be_visible(timeout=30_000)
