"""`offbeat lint` and `offbeat schema`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from offbeat.cli.say import put, say

LINT_EXAMPLES = """\b
Examples:
  offbeat lint my.yaml
  offbeat lint bars --set bar.price_jump.when='close > 0'
"""
SCHEMA_EXAMPLES = """\b
Examples:
  # For an editor: completion and checks while you type
  offbeat schema > pipeline.schema.json
  # For programs that read alerts
  offbeat schema alert > alert.schema.json
"""


def lint(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help="A YAML file or a shipped one: bars, cdr, series, ticks, trades.", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Check with one value changed: view.detector.param=value. Repeatable."),
    ] = None,
) -> None:
    """Check a pipeline without running it.

    Prints every problem with its line, and warnings for what is valid but probably not meant. Exit code 2 for problems, 0 for warnings.
    """
    from offbeat.errors import SpecError
    from offbeat.spec.lint import lint as check

    found = check(pipeline, tuple(overrides or ()))
    for warning in found.warnings:
        say(f"warning: {warning}")
    if found.problems:
        raise SpecError(found.problems)
    put(f"{pipeline}: fine" + (f", {len(found.warnings)} warning{'s' * (len(found.warnings) > 1)}" if found.warnings else ""))


def schema(
    what: Annotated[Literal["pipeline", "alert"], typer.Argument(help="Schema of pipeline files, or of alerts.")] = "pipeline",
) -> None:
    """Print the JSON Schema of pipelines or alerts."""
    import json

    from offbeat.io.write.alert_json_schema import alert_json_schema
    from offbeat.spec.schema import pipeline_schema

    put(json.dumps(pipeline_schema() if what == "pipeline" else alert_json_schema(), indent=2))
