"""One real browser for all tests of the dashboard; without Chromium they are skipped, in CI they fail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        assert not os.environ.get("CI"), "CI must have a browser: make browser"
        pytest.skip("there is no chromium here: make browser")
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - other tests need none of it

    expect.set_options(timeout=20_000)  # a machine may be busy; what must be quick is measured where it is asked for
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield found
        found.close()
