"""`offbeat dashboard`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from offbeat.core.plan import Plan

EXAMPLES = """\b
Examples:
  # Incidents of a store, to be worked on
  offbeat dashboard --store sqlite:///alerts.db
  # The page on what a run wrote, or is writing
  offbeat dashboard --alerts alerts.jsonl
  # On a topic; the rows to draw are in files
  offbeat dashboard --alerts kafka://broker:9092/anomalies --source data/trades
  # For colleagues: behind a password, on the address of this machine
  OFFBEAT_DASHBOARD_PASSWORD=... offbeat dashboard --alerts alerts.jsonl --host 0.0.0.0 --port 8501
"""


def dashboard(
    uri: Annotated[str | None, typer.Argument(metavar="URI", help="The same as --alerts or --store.", show_default=False)] = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="URI", help="A store: sqlite:///FILE.db or postgresql://...", show_default=False)
    ] = None,
    alerts: Annotated[
        str | None,
        typer.Option("--alerts", metavar="URI", help="A file, folder or topic that `offbeat run --alerts` writes to.", show_default=False),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option("--pipeline", metavar="FILE", help="Pipeline that raised the alerts.", show_default="the shipped one of that name"),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="[PIPELINE=]PATH", help="Where the rows are, to draw alerts of stores and topics. Repeatable."),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metrics", metavar="HOST:PORT", help="A worker's --metrics-port, to show ledger, lag and health. Repeatable."),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, metavar="PORT", help="Port to listen on.", show_default="8501, or a free one")
    ] = None,
    refresh: Annotated[
        float, typer.Option("--refresh", min=0.1, max=3600, metavar="SECONDS", help="How often a page looks for more.")
    ] = 1.0,
) -> None:
    """Show alerts on a page that is alive.

    Incidents, worst first; new ones appear by themselves. Each opens: the series, its limits, the votes, what would have been ordinary.
    What is not there yet is waited for. Other machines can reach the page only with --host, and then it asks for the password in
    OFFBEAT_DASHBOARD_PASSWORD.
    """
    import signal
    from importlib.util import find_spec

    from offbeat.cli.say import put
    from offbeat.errors import UserError

    named = [uri for uri in (uri, store, alerts) if uri is not None]
    if len(named) != 1:
        raise UserError("name one source of alerts: --store sqlite:///FILE.db, or --alerts FILE, FOLDER or kafka://HOST:PORT/TOPIC")
    if find_spec("streamlit") is None or find_spec("plotly") is None:
        raise UserError("the dashboard needs Streamlit and Plotly: pip install 'offbeat[dashboard]'")
    from offbeat.dashboard.alert_buffer import AlertBuffer
    from offbeat.dashboard.desk import Desk
    from offbeat.dashboard.open_feed import open_feed
    from offbeat.dashboard.running import Running
    from offbeat.dashboard.serve import free_port, password_for, serve
    from offbeat.dashboard.workers import Workers, metrics_url
    from offbeat.io.stores import is_store
    from offbeat.spec.load import load_plan

    password = password_for(host)
    plan = load_plan(pipeline) if pipeline is not None else None
    running = Running(named[0], open_feed(named[0], AlertBuffer()), plan, password, refresh, _sources(source or [], plan))
    if metrics:
        running.workers = Workers([metrics_url(text) for text in metrics])
    if is_store(named[0]):
        running.desk = Desk(named[0], running.episodes_of)
    found = free_port(host, port)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until Streamlit's own, which ends the server in good order
    shown = f"[{host}]" if ":" in host else host
    serve(running, host, found, lambda: put(f"dashboard: http://{shown}:{found}   (Ctrl-C ends)"))


def _sources(named: list[str], plan: Plan | None) -> dict[str, str]:
    """Pipeline → source; without a name it is that of the pipeline that was named, or of every shipped one."""
    from offbeat.spec.load import shipped

    found: dict[str, str] = {}
    for text in named:
        pipeline, equals, path = text.partition("=")
        if equals and (pipeline in shipped() or (plan is not None and pipeline == plan.name)):
            found[pipeline] = path
        else:
            found.update(dict.fromkeys([plan.name] if plan is not None else shipped(), text))
    return found
