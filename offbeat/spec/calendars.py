"""Codes of trading calendars, read out of exchange_calendars' source: importing it for a check would take a second."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def calendar_codes() -> frozenset[str]:
    """All codes and other names of calendars; empty when they cannot be found out this way."""
    found = find_spec("exchange_calendars")
    if found is None or found.origin is None:
        return frozenset()
    try:
        tree = ast.parse((Path(found.origin).parent / "calendar_utils.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return frozenset()
    names: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Dict):
            names |= {key.value for key in statement.value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return frozenset(names)
