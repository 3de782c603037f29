"""Figures of workers, as they serve them to Prometheus: the ledger, lag and health."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.request import urlopen

from offbeat.errors import UserError
from offbeat.io.report.console import safe

_LINE = re.compile(r'^(offbeat_\w+)\{(.*)\} ([^ ]+)$', re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_EVERY = 5.0
_MOST_BYTES = 4_000_000
_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over the workers of each pipeline."""

    rows: Mapping[tuple[str, str], int]
    """(pipeline, what became of them)"""
    quarantined: Mapping[tuple[str, str], int]
    """(pipeline, reason)"""
    lag: Mapping[tuple[str, str], int]
    """(pipeline, topic): records that wait."""
    seen: Sequence[tuple[str, str, float]]
    """(worker, pipeline, seconds since it was last seen)"""
    gone: Sequence[tuple[str, str]]
    """(worker, why it does not answer)"""


def figures_of(texts: Mapping[str, str], gone: Sequence[tuple[str, str]] = ()) -> Figures:
    """From the text of each worker's `/metrics`."""
    rows: Counter[tuple[str, str]] = Counter()
    aside: Counter[tuple[str, str]] = Counter()
    lag: Counter[tuple[str, str]] = Counter()
    seen = []
    for worker, text in texts.items():
        for name, labels, told in _LINE.findall(text):
            known = {label: safe(value) for label, value in _LABEL.findall(labels)}
            pipeline = known.get("pipeline", "")
            try:
                value = float(told)
            except ValueError:
                continue
            if name == "offbeat_rows_total":
                rows[pipeline, known.get("outcome", "")] += int(value)
            elif name == "offbeat_pending_rows":
                rows[pipeline, "pending"] += int(value)
            elif name == "offbeat_quarantined_rows_total":
                aside[pipeline, known.get("reason", "")] += int(value)
            elif name == "offbeat_lag_records":
                lag[pipeline, known.get("topic", "")] += int(value)
            elif name == "offbeat_seconds_since_poll":
                seen.append((worker, pipeline, value))
    return Figures(rows, aside, lag, seen, gone)


@dataclass(slots=True)
class Workers:
    """Asks workers, not more often than every few seconds for all sessions."""

    urls: Sequence[str]
    _known: Figures | None = None
    _at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def figures(self) -> Figures:
        """Their figures now."""
        with self._lock:
            if self._known is None or time.monotonic() - self._at > _EVERY:
                texts, gone = {}, []
                for url in self.urls:
                    try:
                        with urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - http or https: see `metrics_url`
                            texts[url] = answer.read(_MOST_BYTES).decode(errors="replace")
                    except (URLError, OSError, ValueError) as error:
                        gone.append((url, safe(getattr(error, "reason", error), 120)))
                self._known, self._at = figures_of(texts, gone), time.monotonic()
            return self._known


def metrics_url(text: str) -> str:
    """The address of a worker's figures: `HOST:PORT`, or a URL. Raises UserError for another scheme."""
    if "://" not in text:
        return f"http://{text.rstrip('/')}/metrics"
    if not text.startswith(("http://", "https://")):
        raise UserError(f"--metrics {text}: expected HOST:PORT of a worker's --metrics-port, or http://…")
    return text
