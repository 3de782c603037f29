"""`offbeat lint` and `offbeat schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from offbeat.cli.say import put, say

LINT_EXAMPLES = """\b
Examples:
  offbeat lint my.yaml
  offbeat lint bars --set bar.price_jump.when='close > 0'
"""
SCHEMA_EXAMPLES = """\b
Example:
  offbeat schema > pipeline.schema.json      for an editor: completion and checks while typing
"""


def lint(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="A YAML file, or a shipped name (bars).", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Check the pipeline with one value changed.")
    ] = None,
) -> None:
    """Check a pipeline without running it: every problem with its line, and what is allowed but probably not meant.

    Problems end with exit code 2, warnings with 0.
    """
    from offbeat.errors import SpecError
    from offbeat.spec.lint import lint as check

    found = check(pipeline, tuple(overrides or ()))
    for warning in found.warnings:
        say(f"warning: {warning}")
    if found.problems:
        raise SpecError(found.problems)
    put(f"{pipeline}: fine" + (f", {len(found.warnings)} warning{'s' * (len(found.warnings) > 1)}" if found.warnings else ""))


def schema() -> None:
    """Print the JSON schema of pipeline files."""
    import json

    from offbeat.spec.schema import pipeline_schema

    put(json.dumps(pipeline_schema(), indent=2))
