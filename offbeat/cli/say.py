"""Plain lines: results on standard output, everything said besides on standard error. Light, since every command imports it."""

from __future__ import annotations

import re
import sys

from offbeat.errors import UserError

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]|[\ud800-\udfff]")


def printable(text: str) -> str:
    """Text whose control characters are spelled out: a file's name may hold what clears the screen, or writes from right to left.

    Tabs and line ends stay; see `in_one_line`.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape", "backslashreplace").decode(), text)


def in_one_line(text: str) -> str:
    """As `printable`, line ends spelled out too."""
    return printable(text).replace("\n", "\\n")


def say(text: str) -> None:
    """A remark on standard error, in one line."""
    sys.stderr.write(f"offbeat: {in_one_line(text)}\n")
    sys.stderr.flush()


def put(text: str) -> None:
    """A line of results. Raises UserError where standard output takes no more (a full disk), BrokenPipeError where nobody reads it."""
    try:
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write to standard output: {error.strerror}") from error
