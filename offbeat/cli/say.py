"""Plain lines: results on standard output, everything said besides on standard error. Light, since every command imports it."""

from __future__ import annotations

import sys

from offbeat.errors import UserError


def say(text: str) -> None:
    """A remark on standard error, in one line."""
    sys.stderr.write(f"offbeat: {text}\n")
    sys.stderr.flush()


def put(text: str) -> None:
    """A line of results. Raises UserError where standard output takes no more (a full disk), BrokenPipeError where nobody reads it."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write to standard output: {error.strerror}") from error
