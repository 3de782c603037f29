"""Options that several commands have in the same words."""

from __future__ import annotations

from typing import Annotated

import typer

RaisedBy = Annotated[
    str | None,
    typer.Option("--pipeline", metavar="PIPELINE", help="Pipeline that raised the alerts.", show_default="the shipped one of that name"),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value: view.detector.param=value. Repeatable.")
]
Describes = Annotated[
    str | None,
    typer.Option(
        "--pipeline", metavar="PIPELINE", help="Pipeline that describes SOURCE.", show_default="the shipped one that fits its columns"
    ),
]
Master = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where Spark runs: local[2], yarn, spark://HOST:PORT, k8s://…",
        show_default="as spark-submit says, else all cores here",
        rich_help_panel="Spark",
    ),
]
