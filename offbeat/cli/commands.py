"""The subcommands of `offbeat`."""

from __future__ import annotations

from typing import Annotated

import typer

from offbeat._version import __version__
from offbeat.cli import pipeline, run
from offbeat.cli.alerts import ALERTS_EXAMPLES, EXPLAIN_EXAMPLES, alerts, explain
from offbeat.cli.calibrate import EXAMPLES as CALIBRATE_EXAMPLES
from offbeat.cli.calibrate import calibrate
from offbeat.cli.compare import EXAMPLES as COMPARE_EXAMPLES
from offbeat.cli.compare import compare
from offbeat.cli.dashboard import EXAMPLES as DASHBOARD_EXAMPLES
from offbeat.cli.dashboard import dashboard
from offbeat.cli.episodes import EXAMPLES as EPISODES_EXAMPLES
from offbeat.cli.episodes import episodes
from offbeat.cli.evaluate import EXAMPLES as EVALUATE_EXAMPLES
from offbeat.cli.evaluate import evaluate
from offbeat.cli.generate import generate
from offbeat.cli.incidents import EXAMPLES as INCIDENTS_EXAMPLES
from offbeat.cli.incidents import incidents
from offbeat.cli.label import EXAMPLES as LABEL_EXAMPLES
from offbeat.cli.label import label
from offbeat.cli.learn import EXAMPLES as LEARN_EXAMPLES
from offbeat.cli.learn import learn
from offbeat.cli.load import EXAMPLES as LOAD_EXAMPLES
from offbeat.cli.load import load
from offbeat.cli.notify import EXAMPLES as NOTIFY_EXAMPLES
from offbeat.cli.notify import notify
from offbeat.cli.quarantine import quarantine
from offbeat.cli.replay import EXAMPLES as REPLAY_EXAMPLES
from offbeat.cli.replay import replay
from offbeat.cli.report import EXAMPLES as REPORT_EXAMPLES
from offbeat.cli.report import report
from offbeat.cli.state import state
from offbeat.cli.store import store

EXAMPLES = """\b
Try it on generated bars:
  offbeat generate bars --out bars
  offbeat run bars bars --alerts alerts.jsonl
  offbeat explain worst --alerts alerts.jsonl --plot worst.html
\n\n
Exit codes: 0 done, 1 internal error, 2 wrong input, pipeline or command, 130 interrupted.
"""

# Without rich: it alone would cost more than the rest of `offbeat --help`.
app = typer.Typer(
    name="offbeat",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"offbeat {__version__}")
        raise typer.Exit


@app.callback(epilog=EXAMPLES)
def offbeat(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error. Works after any command.")] = False,
) -> None:
    """Find the events that break the rhythm of a stream, and say why."""


app.command(epilog=run.EXAMPLES)(run.run)
app.command(epilog=REPLAY_EXAMPLES)(replay)
app.command(epilog=LOAD_EXAMPLES)(load)
app.command(epilog=COMPARE_EXAMPLES)(compare)
app.command(epilog=EVALUATE_EXAMPLES)(evaluate)
app.command(epilog=pipeline.LINT_EXAMPLES)(pipeline.lint)
app.command(epilog=pipeline.SCHEMA_EXAMPLES)(pipeline.schema)
app.command(epilog=EXPLAIN_EXAMPLES)(explain)
app.command(epilog=ALERTS_EXAMPLES)(alerts)
app.command(epilog=DASHBOARD_EXAMPLES)(dashboard)
app.command(epilog=REPORT_EXAMPLES)(report)
app.command(epilog=EPISODES_EXAMPLES)(episodes)
app.command(epilog=INCIDENTS_EXAMPLES)(incidents)
app.command(epilog=CALIBRATE_EXAMPLES)(calibrate)
app.command(epilog=NOTIFY_EXAMPLES)(notify)
app.command(epilog=LABEL_EXAMPLES)(label)
app.command(epilog=LEARN_EXAMPLES)(learn)
app.add_typer(quarantine, name="quarantine")
app.add_typer(state, name="state")
app.add_typer(store, name="store")
app.add_typer(generate, name="generate")
