"""Streamlit's server in this process: bound to this machine unless there is a password, without telemetry or anything from elsewhere."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from offbeat.dashboard.login import VARIABLE, Password, is_local
from offbeat.dashboard.running import Running, begin
from offbeat.errors import UserError

_SCRIPT = Path(__file__).with_name("script.py")
_PRIMARY = {"light": "#0072b2", "dark": "#56b4e9"}
"""Which of the two is shown is up to the browser."""


def password_for(host: str) -> Password | None:
    """The password from the environment. Raises UserError where there is none, and the page could be reached from other machines."""
    text = os.environ.get(VARIABLE)
    if text:
        return Password(text)
    if not is_local(host):
        raise UserError(f"--host {host} can be reached from other machines: set a password in {VARIABLE} first")
    return None


def free_port(host: str, port: int | None) -> int:
    """`port`, or a free one. Raises UserError where it is taken, or the machine has no such address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in (port,) if port is not None else (8501, 0):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, wanted))
            except OSError as error:
                if port is None and wanted:
                    continue
                raise UserError(f"cannot listen on {host} port {wanted}: {error.strerror or error}; name another with --port") from error
            found: int = probe.getsockname()[1]
            return found
    raise UserError(f"no free port on {host}")


def serve(running: Running, host: str, port: int, ready: Callable[[], None]) -> None:
    """Serve the page until Ctrl-C or SIGTERM; `ready` is called once it can be reached."""
    from streamlit import config  # noqa: PLC0415 - an extra, and slow to load
    from streamlit.web import bootstrap  # noqa: PLC0415 - an extra, and slow to load

    options: dict[str, Any] = {
        "server.address": host,
        "server.port": port,
        "server.headless": True,  # opens no browser and asks for no mail address
        "server.fileWatcherType": "none",
        "server.disconnectedSessionTTL": 30,
        "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": host,  # else Streamlit asks a service on the internet for the address of this machine
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "error",
        **{f"theme.{scheme}.primaryColor": color for scheme, color in _PRIMARY.items()},
    }
    flags = {name.replace(".", "_"): value for name, value in options.items()}
    bootstrap.load_config_options(flag_options=flags)
    for name in options:
        if not config.is_manually_set(name):
            raise UserError(f"this version of Streamlit does not know the setting {name}: install the one that requirements.lock names")
    logging.getLogger("streamlit").setLevel(logging.ERROR)
    begin(running)
    running.feed.start()
    threading.Thread(target=_when_reached, args=(host, port, ready), daemon=True).start()
    try:
        bootstrap.run(str(_SCRIPT), is_hello=False, args=[], flag_options=flags)
    finally:
        running.feed.stop()


def _when_reached(host: str, port: int, ready: Callable[[], None]) -> None:
    at = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host  # noqa: S104 - it is compared, not bound to
    for _ in range(600):
        try:
            socket.create_connection((at, port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            ready()
            return
