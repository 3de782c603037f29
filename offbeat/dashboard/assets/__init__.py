"""Style sheets, scripts and the icon of the page."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
ICON = str(_FOLDER / "icon.svg")


@cache
def asset(name: str) -> str:
    """The text of a file beside this one."""
    return (_FOLDER / name).read_text(encoding="utf-8")
