"""One line for each shipped pipeline and example: a digest of every verdict on real data, to show that a change of shape changed no answer.

python -m benchmarks.digest > before.txt      # and again after the change; the files must be equal
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl

import offbeat

DATA = Path(__file__).parents[2] / "shared" / "data"
EXAMPLES = Path(__file__).parents[1] / "examples"


def digest(alerts: pl.DataFrame) -> str:
    """Of ids, revisions, votes, scores and severities, to the bit and in the order of ids."""
    ordered = alerts.sort("view", "alert_id", "revision")
    found = blake2b(digest_size=16)
    for row in ordered.select("view", "alert_id", "revision", "status", "key", "severity", "level", "votes", "voters").iter_rows():
        found.update(repr(tuple(_bits(value) for value in row)).encode())
    for detectors in ordered["detectors"].to_list():
        found.update(repr([(d["name"], _bits(d["score"]), d["voted"]) for d in detectors]).encode())
    return found.hexdigest()


def _bits(value: Any) -> Any:
    return value.hex() if isinstance(value, float) else value


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        calls = str(Path(made) / "calls")
        made_of = ["--rows", "400000", "--days", "60", "--seed", "7", "--out", calls]
        subprocess.run([Path(sys.executable).parent / "offbeat", "generate", "cdr", *made_of], check=True)
        runs: list[tuple[Any, Path]] = [
            ("bars", DATA / "bars"),
            ("trades", DATA / "trades"),
            ("cdr", Path(calls)),
            *((EXAMPLES / f"{name}.yaml", DATA / data) for name, data in _EXAMPLES.items()),
        ]
        for pipeline, source in runs:
            result = offbeat.run(pipeline, str(source))
            name = pipeline if isinstance(pipeline, str) else pipeline.stem
            sys.stdout.write(f"{name:14} {len(result.alerts):>8,} alerts  {digest(result.alerts)}\n")
            sys.stdout.flush()


_EXAMPLES = {
    "bars_5min": "bars_5min",
    "market_minute": "bars",
    "nodobo": "cdr/nodobo_calls.csv",
    "ticks": "ticks_dirty",
    "vast2008": "cdr/vast2008_calls.csv",
}

if __name__ == "__main__":
    main()
