"""RESULTS.md: the last result of each benchmark, one section a name."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import machine, versions

RESULTS = Path(__file__).parent / "RESULTS.md"
_HEAD = """# Benchmark results

Written by `make bench`; each section is the last run of its benchmark. Ratios are between jobs that took turns in one run on one machine,
and the same-answers check named in the section has passed. Sections may be of different days and do not compare with one another.
"""


def record(name: str, body: str, *packages: str, file: Path = RESULTS) -> str:
    """Replace (or add) the section `name` by `body`, with date, versions of `packages` and the machine; returns the section."""
    load = os.getloadavg()[0]
    facts = f"{datetime.now(UTC):%Y-%m-%d} · {versions('offbeat', *packages)} · {machine()} · load {load:.1f}"
    section = f"## {name}\n\n{facts}\n\n{body.strip()}\n"
    text = file.read_text(encoding="utf-8") if file.exists() else _HEAD
    parts = re.split(r"(?m)^(?=## )", text)
    head, sections = parts[0], {part.splitlines()[0][3:]: part for part in parts[1:]}
    sections[name] = section
    file.write_text("\n".join(part.strip() + "\n" for part in [head, *sections.values()]), encoding="utf-8")
    return section
