"""`make dashboard`: a page that is alive, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import DATA, OFFBEAT
from dashboards import LINES, looking
from folders import ROOT
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.heavy
def test_alerts_come_while_one_looks_and_ctrl_c_ends_all(browser: Browser, tmp_path: Path) -> None:
    demo = subprocess.Popen(
        ["bash", ROOT / "examples" / "dashboard.sh", OFFBEAT, DATA, tmp_path / "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=ROOT,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    try:
        assert demo.stdout is not None
        url = next(found[1] for line in demo.stdout if (found := re.match(r"dashboard: (http\S+)", line)))
        with looking(browser, url) as page:
            page.set_default_timeout(90_000)
            expect(page.locator(LINES).first).to_be_visible(timeout=90_000)
            alerts = page.locator(".ob-figures > div").filter(has_text="alerts").locator("b")
            before = alerts.inner_text()
            expect(alerts).not_to_have_text(before, timeout=60_000)
            page.locator(LINES).first.click()
            expect(page.locator(".js-plotly-plot .scatterlayer").first).to_be_visible(timeout=60_000)
    finally:
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
        out, _ = demo.communicate(timeout=60)
    assert "stopped: the page, the replays and the runs" in out
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)
