"""A page of the dashboard for tests: its server, a browser that looks at it, and what must not happen meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from command import process

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

LINES = ".list > a"
"""Incidents in a list."""
LAPTOP, PHONE = (1280, 800), (390, 844)


@contextmanager
def served(*args: object, **env: str) -> Iterator[str]:
    """The address of a page while it is served; it ends in good order on Ctrl-C, and says nothing else."""
    server = process("dashboard", *args, "--refresh", "0.3", env=env)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("dashboard: http"), (line, server.communicate(timeout=20))
        yield line.split()[1]
    finally:
        os.kill(server.pid, signal.SIGINT)
        out, err = server.communicate(timeout=20)
    assert (server.returncode, out.strip(), err) == (0, "Stopping...", "")


@dataclass(slots=True)
class Looked:
    """What a browser met."""

    wrong: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


@contextmanager
def looking(browser: Browser, url: str, path: str = "", size: tuple[int, int] = LAPTOP, scheme: str = "light") -> Iterator[Page]:
    """A page open at `url`; at the end: no error in its console, and nothing asked of any other machine."""
    met = Looked()
    viewport: ViewportSize = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, color_scheme="dark" if scheme == "dark" else "light")
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.on("console", lambda message: met.wrong.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: met.wrong.append(str(error)))
    page.on("dialog", lambda dialog: met.wrong.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: None if request.url.startswith((url, "data:", "blob:")) else met.elsewhere.append(request.url))
    try:
        page.goto(url + "/" + path)
        yield page
    finally:
        context.close()
    assert (met.wrong, met.elsewhere) == ([], [])


def append(path: Path, *lines: bytes) -> None:
    """Add lines to a file as a run does."""
    with path.open("ab") as file:
        file.write(b"".join(line.rstrip(b"\n") + b"\n" for line in lines))
