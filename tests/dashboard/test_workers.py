"""The ledger, lag and health of workers, as they serve them."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dashboards import looking, served
from http_servers import HttpServer
from playwright.sync_api import expect

from offbeat.dashboard.workers import figures_of, metrics_url
from offbeat.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TEXT = """
# HELP offbeat_rows_total Rows by what became of them.
offbeat_rows_total{outcome="scored",pipeline="p"} 90.0
offbeat_rows_total{outcome="quarantined",pipeline="p"} 8.0
offbeat_pending_rows{pipeline="p"} 2.0
offbeat_quarantined_rows_total{pipeline="p",reason="a \\"b\\" <i>"} 8.0
offbeat_lag_records{partition="0",pipeline="p",topic="t"} 5.0
offbeat_lag_records{partition="1",pipeline="p",topic="t"} 7.0
offbeat_seconds_since_poll{pipeline="p"} 0.5
offbeat_rows_total{outcome="late",pipeline="p"} nonsense
"""


@pytest.fixture
def worker() -> Iterator[str]:
    class Figures(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(TEXT.encode())

    server = HttpServer(Figures)
    yield server.place
    server.stop()


def test_workers_are_added_up() -> None:
    told = figures_of({"a": TEXT, "b": TEXT})
    assert told.rows == {("p", "scored"): 180, ("p", "quarantined"): 16, ("p", "pending"): 4}
    assert told.lag == {("p", "t"): 24}
    assert list(told.quarantined.values()) == [16]
    assert [worker for worker, _, _ in told.seen] == ["a", "b"]
    assert figures_of({"a": "<html>" * 1000}).rows == {}


def test_addresses() -> None:
    assert metrics_url("127.0.0.1:9300") == "http://127.0.0.1:9300/metrics"
    assert metrics_url("https://w/metrics") == "https://w/metrics"
    with pytest.raises(UserError, match="HOST:PORT"):
        metrics_url("file:///etc/passwd")


def test_they_are_on_the_page(browser: Browser, worker: str, tmp_path: Path) -> None:
    asked = ("--alerts", tmp_path / "a.jsonl", "--metrics", worker, "--metrics", "127.0.0.1:9")
    with served(*asked) as url, looking(browser, url, "?view=overview") as page:
        expect(page.get_by_text("90.00 %")).to_be_visible()
        expect(page.get_by_role("cell", name="12", exact=True)).to_be_visible()
        expect(page.get_by_text("does not answer")).to_be_visible()
        expect(page.get_by_text("<i>")).to_be_visible()
