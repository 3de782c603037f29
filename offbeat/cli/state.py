"""`offbeat state`: what a state directory holds, and whether a run can continue from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  # Rows, position, pending: all that is needed to resume
  offbeat state show state
  # Whether snapshot, closed windows and outputs are whole
  offbeat state check state
"""

state = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Show or check a state directory.", epilog=EXAMPLES)

_Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The --state of a run.", show_default=False)]


@state.command("show", epilog=EXAMPLES)
def show_state(
    directory: _Directory,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how far a state has come: rows, position, what is pending, outputs. Changes nothing."""
    import json

    from offbeat.cli.say import put
    from offbeat.engines.state_report import lines, summary

    figures = summary(directory)
    if as_json:
        put(json.dumps(figures))
        return
    for line in lines(figures):
        put(line)


@state.command("check", epilog=EXAMPLES)
def check_state(directory: _Directory) -> None:
    """Check that a run can continue from a state: snapshot, closed windows, outputs. Changes nothing.

    Prints every problem with what can be done about it. Exit code 2 for problems.
    """
    from offbeat.cli.say import put
    from offbeat.engines.state_report import problems
    from offbeat.errors import SpecError

    found = problems(directory)
    if found:
        raise SpecError(found)
    put(f"{directory}: whole")
