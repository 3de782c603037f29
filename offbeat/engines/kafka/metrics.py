"""A worker's figures for Prometheus, and whether it is well, over HTTP on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from offbeat.engines.kafka.worker import KafkaEngine
from offbeat.errors import UserError

_SILENT_SECONDS = 30.0
"""A worker that was not seen for so long hangs, or waits for its brokers."""
HOST = "127.0.0.1"


class _Figures(Collector):
    """Reads a worker's status whenever Prometheus asks."""

    def __init__(self, engine: KafkaEngine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Metrics as they stand."""
        status, pipeline = self._engine.status, self._engine.result.pipeline
        ledger = status.ledger
        rows = CounterMetricFamily("offbeat_rows", "Rows by what became of them.", labels=["pipeline", "outcome"])
        outcomes = {
            name: count for name, count in ledger.as_dict().items() if isinstance(count, int) and name not in {"rows_in", "pending"}
        }
        for outcome, count in outcomes.items():
            rows.add_metric([pipeline, outcome], count)
        rows.add_metric([pipeline, "quarantined"], ledger.quarantined.total())
        yield rows
        aside = CounterMetricFamily("offbeat_quarantined_rows", "Quarantined rows by reason.", labels=["pipeline", "reason"])
        for reason, count in sorted(ledger.quarantined.items()):
            aside.add_metric([pipeline, reason], count)
        yield aside
        pending = GaugeMetricFamily("offbeat_pending_rows", "Rows held back or in open windows.", labels=["pipeline"])
        pending.add_metric([pipeline], ledger.pending)
        yield pending
        alerts = CounterMetricFamily("offbeat_alerts", "Alerts sent by this worker since its start.", labels=["pipeline"])
        alerts.add_metric([pipeline], status.alerts)
        yield alerts
        lag = GaugeMetricFamily("offbeat_lag_records", "Records that wait in a partition.", labels=["pipeline", "topic", "partition"])
        for (topic, number), count in status.lags.items():
            lag.add_metric([pipeline, topic, str(number)], count)
        yield lag
        ages = GaugeMetricFamily(
            "offbeat_model_age_seconds",
            "Event time since the last row that a detector's newest model was trained on.",
            labels=["pipeline", "view", "detector"],
        )
        for (view, detector), seconds in status.model_ages.items():
            ages.add_metric([pipeline, view, detector], seconds)
        yield ages
        seen = GaugeMetricFamily("offbeat_seconds_since_poll", "Seconds since the worker was last seen.", labels=["pipeline"])
        seen.add_metric([pipeline], time.monotonic() - status.at)
        yield seen


@contextmanager
def served(engine: KafkaEngine, port: int | None) -> Iterator[None]:
    """While entered, serve `/metrics` and `/health`; nothing without a port. Raises UserError where the port is taken."""
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(_Figures(engine))
    metrics = make_wsgi_app(registry)

    def answer(environment: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environment.get("PATH_INFO") != "/health":
            return metrics(environment, start)
        silent = time.monotonic() - engine.status.at
        well = silent < _SILENT_SECONDS
        start("200 OK" if well else "503 Service Unavailable", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"ok\n" if well else f"not seen for {silent:.0f} s\n".encode()]

    try:
        server = make_server(HOST, port, answer, handler_class=_Quiet)
    except OSError as error:
        raise UserError(f"--metrics-port {port}: {error.strerror}; name another port") from error
    thread = threading.Thread(target=server.serve_forever, name="offbeat-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    """Says nothing of each request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class calls it
        pass
