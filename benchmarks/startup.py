"""How long a person waits: `offbeat --help`, and the first alert of `offbeat run bars` on the real file after a first run."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.make_bars import BUILD, REAL
from benchmarks.results import record

COMMAND = Path(sys.executable).with_name("offbeat")


def help_seconds() -> float:
    """Wall time of one `offbeat --help`."""
    begin = time.perf_counter()
    subprocess.run([COMMAND, "--help"], capture_output=True, check=True)
    return time.perf_counter() - begin


def first_alert_seconds(out: Path) -> tuple[float, float]:
    """Seconds until a line stands in the JSONL of alerts (or in the file it is staged in), and until the end of the run."""
    for old in out.parent.glob(f"*{out.stem}*"):
        old.unlink()
    begin = time.perf_counter()
    first = None
    with subprocess.Popen(
        [COMMAND, "run", "bars", REAL, "--alerts", out, "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        while run.poll() is None:
            if first is None and any(f.is_file() and f.stat().st_size for f in out.parent.glob(f"*{out.stem}*")):
                first = time.perf_counter() - begin
            time.sleep(0.005)
    whole = time.perf_counter() - begin
    if run.returncode:
        raise SystemExit(f"offbeat run ended with {run.returncode}")
    return whole if first is None else first, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not REAL.exists():
        raise SystemExit(f"needs the real file {REAL.name} in ../shared/data/bars")
    folder = BUILD / "startup"
    folder.mkdir(parents=True, exist_ok=True)
    help_seconds()
    first_alert_seconds(folder / "alerts.jsonl")
    helps = [help_seconds() for _ in range(options.rounds)]
    runs = [first_alert_seconds(folder / "alerts.jsonl") for _ in range(options.rounds)]
    body = (
        "| | median s | owed |\n|---|---:|---:|\n"
        f"| `offbeat --help` | {median(helps):.2f} | < 0.3 |\n"
        f"| first alert of `offbeat run bars`, real file (37,179 rows), a run before it | {median(r[0] for r in runs):.2f} | < 3 |\n"
        f"| the whole of that run | {median(r[1] for r in runs):.2f} | |"
    )
    sys.stdout.write(record("Waiting", body, "polars", "numba"))


if __name__ == "__main__":
    main()
