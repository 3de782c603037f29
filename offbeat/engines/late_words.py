"""Words on files that are not in order of time: which, how far, and what to set [R7]."""

from __future__ import annotations

from collections.abc import Mapping

from offbeat.fold.late_files import Lateness
from offbeat.spec.duration import UNITS_NS

_MANY = 0.01
"""Above this share of late rows, a file is hardly in order."""
_NAMED = 3
"""Files that are named."""


def late_words(names: Mapping[int, str], rows: Mapping[int, int], late: Mapping[int, Lateness], *, sortable: bool) -> list[str]:
    """A remark for each file of which many rows were late, with the lateness that would have been enough.

    names, rows, late: by number of the file. sortable: whether `source.sort` could be set, and is not.
    """
    many = {number: of for number, of in late.items() if of.rows > _MANY * rows.get(number, 0)}
    if not many:
        return []
    worst = sorted(many, key=lambda number: (-many[number].rows, names[number]))
    said = [_said(names[number], rows.get(number, 0), many[number], sortable=sortable) for number in worst[:_NAMED]]
    if len(worst) > _NAMED:
        most = max(of.behind_ns for of in many.values())
        said.append(f"rows of {len(worst) - _NAMED:,} more files were late, too; {_enough(most)} for all of them")
    return said


def _said(name: str, rows: int, late: Lateness, *, sortable: bool) -> str:
    name = "standard input" if name == "-" else name
    share = f"{late.rows / rows:.0%}" if rows else "many"
    were = f"{late.rows:,} rows ({share}) were late: newer rows of their key came first, by up to {_length(late.behind_ns)}"
    sort = "--set source.sort=true reads each file in order of time; " if sortable else ""
    backwards = " is in the wrong order, its newest rows first;" if late.backwards else ":"
    return f"{name}{backwards} {were}; {sort}{_enough(late.behind_ns)}"


def _enough(behind_ns: int) -> str:
    return f"--set quality.lateness={_length(behind_ns + 1)} would have been enough"


def _length(ns: int) -> str:
    """A length that is not shorter, in the greatest unit of which it has more than two, as the settings take it."""
    unit = next((unit for unit in ("d", "h", "m", "s", "ms", "us") if ns > 2 * UNITS_NS[unit]), "ns")
    return f"{-(-ns // UNITS_NS[unit])}{unit}"
