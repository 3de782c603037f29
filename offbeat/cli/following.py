"""Alerts of a topic or a database on the screen: the worst so far, then each as it comes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import polars as pl

from offbeat.cli.kafka_address import address_of_topic
from offbeat.cli.reading import plan_of, records
from offbeat.cli.say import say
from offbeat.cli.terminal import console, show
from offbeat.errors import UserError
from offbeat.io.address import shown
from offbeat.io.read.alert_files import from_lines, latest
from offbeat.io.report.console import live_line
from offbeat.io.report.run_report import ranked, worst_table

_LOOK_SECONDS = 0.5


def follow_topic(uri: str, limit: int, keys: Sequence[str], pipeline: str | None) -> None:
    """Show alerts until Ctrl-C. Raises UserError for a topic that cannot be read."""
    address = address_of_topic(uri)
    from offbeat.io.kafka.reading import AlertReader

    to, reader = console(), AlertReader(address)
    try:
        found = latest(from_lines(reader.there(), str(address)))
        found = found.filter(pl.col("key").is_in(keys)) if keys else found
        worst = records(ranked(found, limit))
        zone = _zone(pipeline, worst[0]["pipeline"]) if worst else None
        show(worst_table(worst, found.filter(pl.col("status") != "retracted").height, zone=zone or "UTC"), to)
        say("new alerts follow; Ctrl-C ends")
        for alerts in reader.follow():
            for alert in alerts:
                if keys and alert["key"] not in keys:
                    continue
                zone = zone or _zone(pipeline, alert["pipeline"])
                show(live_line(alert, zone=zone), to, whole=True)
    except KeyboardInterrupt:
        return
    finally:
        reader.close()


def follow_store(uri: str, limit: int, keys: Sequence[str], pipeline: str | None) -> None:
    """Show alerts until Ctrl-C, also those that are replaced. Waits where the database goes away. Raises UserError for what is none."""
    from offbeat.store.store import Filters, Store, StoreGoneError

    to, filters, gone = console(), Filters(keys=tuple(keys)), False
    with Store.open(uri) as store:
        try:
            change = store.last_change()
            worst = [alert.record for alert in store.alerts(filters, limit=limit).alerts]
            zone = _zone(pipeline, worst[0]["pipeline"]) if worst else None
            show(worst_table(worst, store.count(filters), zone=zone or "UTC"), to)
            say("new alerts follow; Ctrl-C ends")
            while True:
                try:
                    new = store.since(change, filters)
                except StoreGoneError as error:
                    if not gone:
                        say(f"{error}; waiting for the database")
                    gone, new = True, ()
                else:
                    gone = False
                for alert in new:
                    change = alert.change
                    zone = zone or _zone(pipeline, alert.pipeline)
                    show(live_line(alert.record, zone=zone), to, whole=True)
                if not new:
                    time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            return
        except StoreGoneError as error:
            raise UserError(f"cannot reach {shown(uri)}: {error}") from error


def _zone(pipeline: str | None, name: str) -> str:
    plan = plan_of(pipeline, name)
    return plan.zone if plan is not None else "UTC"
