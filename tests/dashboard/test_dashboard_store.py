"""Incidents of a store, worked on from the page."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from command import finished
from dashboards import LINES, PHONE, looking, served
from playwright.sync_api import expect
from test_dashboard_page import PIPELINE, quiet, row

from offbeat.engines.incidents import open_incidents

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def alerts(folder: Path, *rows: str, name: str = "rows") -> str:
    """Rows scored into a store; its address."""
    (folder / "p.yaml").write_text(PIPELINE)
    (folder / f"{name}.ndjson").write_text("\n".join(rows) + "\n")
    uri = f"sqlite:///{folder}/a.db"
    done = finished("run", folder / "p.yaml", folder / f"{name}.ndjson", "--alerts", uri)
    assert done.code == 0, done.err
    return uri


def act(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def fill(page: Page, label: str, words: str) -> None:
    field = page.get_by_label(label)
    expect(field).to_have_count(1)  # while the page is drawn anew there may be a former one
    field.fill(words)
    field.press("Enter")


def test_a_morning_on_the_page(browser: Browser, tmp_path: Path) -> None:
    planted = [row("ACME", 10, 5000), row("BOLT", 10, 300), row("CARD", 10, 250)]
    uri = alerts(tmp_path, *(line for key in ("ACME", "BOLT", "CARD") for line in quiet(key)), *planted)
    plan = str(tmp_path / "p.yaml")
    with served("--store", uri, "--pipeline", plan) as url:
        with looking(browser, url) as page:
            expect(page.locator(LINES)).to_have_count(3)
            page.locator(LINES).first.click()
            act(page, "Acknowledge")
            expect(page.get_by_text("say who you are first")).to_be_visible()
            fill(page, "Your name", "ana <b>")
            act(page, "Acknowledge")
            expect(page.get_by_text("State: acknowledged, by ana <b>")).to_be_visible()
            fill(page, "Comment, or why", "asked the exchange")
            act(page, "It was real")
            expect(page.get_by_text("labelled real (asked the exchange)")).to_be_visible()
            link = page.url.removeprefix(url).lstrip("/")
            act(page, "All incidents")
            expect(page.locator(f"{LINES} > .state").first).to_have_text("acknowledged by ana <b>; labelled real")
            # BOLT is known: mute it. CARD is done.
            page.locator(LINES).filter(has_text="BOLT").click()
            act(page, "Mute this key")
            fill(page, "Because", "test system")
            act(page, "Mute")
            expect(page.get_by_text("muted: test system")).to_be_visible()
            act(page, "All incidents")
            expect(page.locator(LINES)).to_have_count(2)
            page.locator(LINES).filter(has_text="CARD").click()
            act(page, "Close")
            expect(page.get_by_text("State: closed, by ana <b>")).to_be_visible()
            act(page, "All incidents")
            expect(page.locator(LINES)).to_have_count(1)
        with looking(browser, url, link, PHONE) as page:  # what was sent to a colleague
            expect(page.locator(".ob-title")).to_have_text("ACME")
            expect(page.get_by_text("asked the exchange").first).to_be_visible()
            assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE[0]
        with looking(browser, url, "?state=all") as page:
            expect(page.locator(LINES)).to_have_count(3)
    with open_incidents(uri, plan) as incidents:
        said = {one.episode["group"]: (one.state, one.who, one.label, one.muted) for one in incidents.every()}
        assert said == {
            "ACME": ("acknowledged", "ana <b>", "real", None),
            "BOLT": ("open", None, None, "test system"),
            "CARD": ("closed", "ana <b>", None, None),
        }


def test_alerts_of_another_process_appear_and_open_what_was_closed(browser: Browser, tmp_path: Path) -> None:
    uri = alerts(tmp_path, *quiet("ACME"), row("ACME", 10, 5000))
    with served("--store", uri, "--pipeline", tmp_path / "p.yaml") as url, looking(browser, url) as page:
        page.locator(LINES).first.click()
        fill(page, "Your name", "ana")
        act(page, "Resolve")
        expect(page.get_by_text("State: resolved, by ana")).to_be_visible()
        act(page, "Reopen")
        expect(page.get_by_text("State: open, by ana")).to_be_visible()
        act(page, "Close")
        expect(page.get_by_text("State: closed, by ana")).to_be_visible()
        act(page, "All incidents")
        expect(page.get_by_text("No incident waits.")).to_be_visible()
        alerts(tmp_path, *quiet("ACME"), row("ACME", 11, 9000), *quiet("BOLT"), row("BOLT", 12, 700), name="more")
        expect(page.locator(LINES)).to_have_count(2)
        expect(page.locator(f"{LINES} > .state").first).to_have_text("open again")
        # BOLT may wait for a while.
        page.locator(LINES).filter(has_text="BOLT").click()
        act(page, "Snooze")
        page.get_by_role("button", name="Snooze", exact=True).last.click()
        expect(page.get_by_text(re.compile("snoozed until"))).to_be_visible()
        act(page, "All incidents")
        expect(page.locator(LINES)).to_have_count(1)


def test_the_store_goes_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    uri = alerts(tmp_path, *quiet("ACME"), row("ACME", 10, 5000))
    path, away = tmp_path / "a.db", tmp_path / "away.db"
    with served("--store", uri, "--pipeline", tmp_path / "p.yaml") as url, looking(browser, url) as page:
        expect(page.locator(LINES)).to_have_count(1)
        holder = sqlite3.connect(path)
        holder.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        holder.close()
        path.rename(away)
        expect(page.get_by_text(re.compile("The source is gone"))).to_be_visible()
        assert page.locator(LINES).count() == 1, "what was read stays"
        away.rename(path)
        expect(page.get_by_text(re.compile("The source is gone"))).to_be_hidden()
        time.sleep(0.5)
        assert page.locator(LINES).count() == 1
