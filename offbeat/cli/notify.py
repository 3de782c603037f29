"""`offbeat notify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  # Mail, Slack, webhooks, as notify.yaml says; until Ctrl-C
  offbeat notify sqlite:///alerts.db --config notify.yaml
  # From cron
  offbeat notify postgresql://me@db/alerts --config notify.yaml --once
  # Does it arrive?
  offbeat notify sqlite:///alerts.db --config notify.yaml --test
"""
_WAITING = 3
"""Exit code of `--once` where alerts still wait for their receiver."""


def notify(
    uri: Annotated[str, typer.Argument(metavar="STORE", help="sqlite:///FILE.db or postgresql://USER@HOST/DATABASE.", show_default=False)],
    config: Annotated[Path, typer.Option(metavar="FILE", help="Who is told what: a YAML file.")] = Path("notify.yaml"),
    once: Annotated[bool, typer.Option("--once", help="Send what waits, and end; exit code 3 where something still waits.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Tell a new receiver of alerts from this time on, UTC.", show_default="alerts that come from now on"
        ),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option(
            metavar="PIPELINE",
            help="Pipeline whose incidents receivers with `about: incidents` are told of.",
            show_default="the shipped one whose alerts the store has",
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Send a test message to every receiver, and end.")] = False,
) -> None:
    """Tell people about alerts by mail, Slack, Teams or webhook.

    What is to be said waits in the store until it was said. Each receiver is told for itself, so that a dead one holds up nobody.
    """
    import signal
    from contextlib import ExitStack

    from offbeat.cli.say import put, say
    from offbeat.errors import UserError
    from offbeat.spec.duration import instant_ns
    from offbeat.store.notify.config import read_config, with_environment
    from offbeat.store.notify.notifier import Notifier
    from offbeat.store.notify.sending import Sender
    from offbeat.store.open import open_database, reached

    wanted = read_config(config)
    try:
        since_ns = None if since is None else instant_ns(since)
    except ValueError as error:
        raise UserError(f"--since: {error}") from error
    if test:
        failed = 0
        for name, receiver in wanted.receivers.items():
            why = Sender(name, with_environment(receiver.url, name)).send("offbeat: a test", "Notifications arrive here.", "info")
            put(f"{name}: {'sent' if why is None else why}")
            failed += why is not None
        raise typer.Exit(_WAITING if failed else 0)
    database = open_database(uri, write=True)
    with ExitStack() as stack:
        stack.enter_context(reached(database))
        feed = None
        if any(receiver.about == "incidents" for receiver in wanted.receivers.values()):
            from offbeat.engines.incidents import open_incidents
            from offbeat.store.notify.incident_feed import IncidentFeed
            from offbeat.store.store import Store

            incidents = stack.enter_context(open_incidents(uri, pipeline, since_ns))
            feed = IncidentFeed(incidents, Store(database), wanted.zone)
        notifier = Notifier(database, wanted, put if once else say, feed)
        notifier.begin(since_ns)
        if once:
            raise typer.Exit(_WAITING if notifier.once() else 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: notifier.stop())
        say(f"telling {', '.join(wanted.receivers)}; Ctrl-C ends")
        notifier.run()
