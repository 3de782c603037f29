"""A page that is open for long, and many alerts: it stays usable, and neither server nor browser grows."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alert_blocks import as_table, two_bars
from command import process
from dashboards import LINES, append, looking
from playwright.sync_api import expect

from offbeat.io.report.console import alert_records

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

JUMP = alert_records(as_table(two_bars()))[0]
AT_ONCE, SECONDS = 500, 25


def lines(first: int) -> list[bytes]:
    """Alerts of 50 keys, some seconds apart."""
    return [
        json.dumps(
            JUMP
            | {
                "alert_id": f"{i:032x}",
                "key": f"KEY{i % 50}",
                "time": f"2024-03-{1 + i // 2_000 % 28:02}T{i // 100 % 24:02}:{i % 60:02}:00Z",
                "severity": 0.3 + i % 7 / 10,
            }
        ).encode()
        for i in range(first, first + AT_ONCE)
    ]


def heap(page: Page) -> int:
    """Bytes of the page's objects, after the browser has tidied up."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return int(metrics["JSHeapUsedSize"])


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.heavy
def test_a_thousand_alerts_a_second(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append(path, *(line for k in range(50) for line in lines(k * AT_ONCE)))  # more than the page keeps: its memory is full from the start
    server = process("dashboard", "--alerts", path, "--refresh", "0.5")
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[1]
        with looking(browser, url) as page:
            expect(page.locator(LINES).first).to_be_visible(timeout=30_000)
            measured, end, at = [], time.monotonic() + SECONDS, 50
            while time.monotonic() < end:
                append(path, *lines(at * AT_ONCE))
                at += 1
                page.wait_for_timeout(500)
                if at % 10 == 0:
                    measured.append((resident(server.pid), heap(page)))
            early, late = measured[1], measured[-1]
            assert late[0] < 1.15 * early[0] + 30e6, measured
            assert late[1] < 1.3 * early[1] + 10e6, measured
            page.wait_for_timeout(4_000)  # what was written last pushes older alerts out of the page's memory, with their incidents
            page.locator(LINES).first.click()  # it is usable meanwhile
            expect(page.locator(".ob-title")).to_be_visible()
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
