"""Planted anomalies in trades: the pipelines `trades` and `ticks` side by side, on seeds on which neither was tried out."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from benchmarks.planted_trades import Setting, recall_of, worth_of
from benchmarks.results import record
from offbeat.engines.compare import judge, longest_window, names_of
from offbeat.evaluate.comparison import Comparison, compared
from offbeat.evaluate.detection_quality import ALARMS
from offbeat.evaluate.generate_trades import generate_trades
from offbeat.evaluate.labels import read_labels
from offbeat.evaluate.trade_process import KINDS
from offbeat.io.read.open_source import open_source
from offbeat.spec.load import load_plan

SETTING, SEEDS = Setting(400_000, 8, 2_000, 3), (11, 12, 13)
"""The figures of `ticks` were chosen with seeds 1 to 3."""


def planted(seed: int, folder: Path) -> tuple[Comparison, list[float]]:
    """The votes and detectors of both on one seed, and the microseconds a row that each took."""
    trades, labels = folder / "trades.parquet", folder / "labels.parquet"
    generate_trades(trades, labels, rows=SETTING.rows, symbols=SETTING.symbols, seed=seed, every=SETTING.every)
    both = [load_plan("trades"), load_plan("ticks")]
    judged = [judge(plan, open_source(plan.source, [str(trades)]), names) for plan, names in zip(both, names_of(both), strict=True)]
    series = [one for done in judged for one in done.series]
    took = [1e6 * done.seconds / done.ledger.rows_in for done in judged]
    return compared(series, read_labels(labels).events, tolerance=longest_window(both[:1])), took


def table(found: list[Comparison]) -> str:
    """Markdown: a line for each vote and detector; counts added up over the seeds, recalls at given alarms averaged."""
    head = ["", "flag rate", "false alarms / 10,000", "recall", *KINDS, *(f"recall at {n}" for n in ALARMS)]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for i, series in enumerate(found[0].series):
        worths = [worth_of(comparison, i) for comparison in found]
        votes, judged = (sum(getattr(comparison.flags[i], field) for comparison in found) for field in ("votes", "judged"))
        false = sum(worth.alerts.false_alarms for worth in worths)
        shares = [recall_of(worths, kind) for kind in (None, *KINDS)]
        shares += [fmean(worth.found_at[at] or 0.0 for worth in worths) for at in range(len(ALARMS))]
        cells = [series.name, f"{100 * votes / judged:.2f} %", f"{10_000 * false / judged:.1f}", *(f"{share:.3f}" for share in shares)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    found, took = [], []
    with TemporaryDirectory() as folder:
        for seed in SEEDS:
            comparison, times = planted(seed, Path(folder))
            found.append(comparison)
            took.append(times)
    least = [min(times) for times in zip(*took, strict=True)]
    body = (
        f"{len(SEEDS)} seeds of {SETTING.rows:,} trades of {SETTING.symbols} symbols, one anomaly in {SETTING.every:,}; other seeds than "
        "those with which the figures of `ticks` were chosen. As in the tables of planted anomalies above; `recall at n`: with the "
        "threshold of the score moved to n false alarms in 10,000 rows. The vote of `ticks` is by surprise, with a cooldown of 100 rows. "
        f"Microseconds a row, reading included, least of {len(SEEDS)}: trades {least[0]:.1f}, ticks {least[1]:.1f}.\n\n"
    )
    sys.stdout.write(record("Planted anomalies: `trades` and `ticks`", body + table(found), "numba"))


if __name__ == "__main__":
    main()
