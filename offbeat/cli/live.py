"""Alerts on the screen while rows arrive."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.text import Text

from offbeat.cli.terminal import show
from offbeat.io.report.console import alert_records, live_line

_MOST = 20
"""Lines for alerts that come at once; of more, the worst."""


class LiveLines:
    """Prints alerts as they come, a line each."""

    def __init__(self, console: Console, zone: str) -> None:
        self._console, self._zone = console, zone

    def __call__(self, alerts: pa.Table) -> None:
        """Show the alerts of a batch in their order."""
        shown = alerts
        if alerts.num_rows > _MOST:
            worst = np.argsort(-alerts["severity"].to_numpy(), kind="stable")[:_MOST]
            shown = alerts.take(np.sort(worst))
        for alert in alert_records(shown):
            show(live_line(alert, zone=self._zone), self._console, whole=True)
        if alerts.num_rows > _MOST:
            show(Text(f"… and {alerts.num_rows - _MOST:,} more in this batch, less severe"), self._console)
