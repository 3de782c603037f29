"""Tables and coloured text on standard output or standard error."""

from __future__ import annotations

import os
import sys

from rich.console import Console, RenderableType

from offbeat.errors import UserError

_WIDTH = 140
"""Columns where nothing says how wide the page is: a log, a file, a pipe. COLUMNS in the environment does."""


def console(*, stderr: bool = False) -> Console:
    """Standard output, or standard error, with a width that does not break tables in a log."""
    stream = sys.stderr if stderr else sys.stdout
    told = stream.isatty() or os.environ.get("COLUMNS", "").lstrip("0").isdigit()
    return Console(stderr=stderr, width=None if told else _WIDTH, highlight=False)


def show(what: RenderableType, to: Console, *, whole: bool = False) -> None:
    """A table or text on a console; `whole`: its lines are not broken, so that they can be copied.

    Raises UserError where the console takes no more.
    """
    try:
        to.print(what, soft_wrap=whole)
        to.file.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write to standard output: {error.strerror}") from error
