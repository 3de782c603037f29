"""Notices in words."""

from __future__ import annotations

from collections.abc import Sequence

from offbeat.io.report.console import ID_DIGITS, moment, number, safe
from offbeat.io.report.flat_alerts import told
from offbeat.store.notify.config import NotifyConfig, Receiver, filled
from offbeat.store.notify.outbox import RETRACTED, Notice
from offbeat.store.store import StoredAlert

MOST = 50
"""Alerts that one message tells; of more it says how many there are."""
_LONGEST = 200


def fields_of(alert: StoredAlert, zone: str) -> dict[str, str]:
    """What a template can name of an alert, as harmless text."""
    record = alert.record
    said = told(record)
    texts = {name: safe(record[name], _LONGEST) for name in ("level", "key", "pipeline", "view", "status")}
    numbers = {name: number(said[name]) for name in ("observed", "expected", "threshold")}
    counts = {name: str(record[name]) for name in ("votes", "voters")}
    return {
        **texts, **numbers, **counts,
        "severity": f"{alert.severity:.2f}",
        "time": moment(record["time"], zone),
        "what": safe(said["what"] or "-", _LONGEST),
        "detector": safe(said["detector"] or "-"),
        "id": alert.alert_id[:ID_DIGITS],
        "alerts": "1",
        "event": RETRACTED if alert.status == RETRACTED else "alert",
    }  # fmt: skip


def message(notices: Sequence[Notice], config: NotifyConfig, receiver: Receiver) -> tuple[str, str]:
    """Title and text of one message about all of these."""
    worst_first = sorted(notices, key=lambda notice: (-float(notice.fields["severity"]), notice.number))
    line = receiver.line or config.line
    parts = [_lead(notice) + filled(line, notice.fields) for notice in worst_first[:MOST]]
    if len(notices) > MOST:
        parts.append(f"and {len(notices) - MOST:,} more")
    first = worst_first[0].fields
    title = _lead(worst_first[0]) + filled(receiver.title or config.title, first)
    if len(notices) > 1:
        what = "incidents" if first["event"] == "incident" else "alerts"
        title = f"{len(notices):,} {what}, the worst {title}"
    return safe(title, _LONGEST), "\n\n".join(parts)


def _lead(notice: Notice) -> str:
    return "no longer an alert: " if notice.fields["event"] == RETRACTED else ""
