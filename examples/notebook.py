"""offbeat in a notebook: a Polars frame in, alerts as a frame out. Run it as it stands, or cell by cell.

python examples/notebook.py
"""

# %% Bars of two made-up stocks, with planted anomalies
import tempfile
from pathlib import Path

import polars as pl

import offbeat
from offbeat.evaluate.generate_bars import generate_bars

folder = generate_bars(Path(tempfile.mkdtemp()), symbols=2, days=4, seed=1)
frame = pl.concat(
    pl.read_csv(file, truncate_ragged_lines=True).with_columns(symbol=pl.lit(file.name.split("_")[0]))
    for file in sorted(folder.glob("*.csv"))
)

# %% A pipeline as a dict: the same keys as in a YAML file
pipeline = {
    "name": "jumps",
    "source": {
        "key": "symbol",
        "time": {"column": "timestamp", "zone": "Asia/Kolkata"},
        "columns": {"close": "float", "volume": {"type": "decimal", "scale": 0}},
    },
    "views": {
        "bar": {
            "windows": {
                "before": {"over": "5m", "features": {"last_close": "last(close)"}},
                "ten_minutes": {"over": "10m", "min_rows": 5, "features": {"mean_volume": "mean(volume)"}},
            },
            "detectors": {
                "price_jump": {"type": "rule", "when": "abs(close / last_close - 1) > 0.01", "expected": "0"},
                "volume_surge": {"type": "rule", "when": "volume > 8 * mean_volume", "expected": "mean_volume"},
            },
        }
    },
}
result = offbeat.run(pipeline, frame)

# %% What happened to the rows: nothing is dropped in silence
print(result.ledger)

# %% The worst alerts first
worst = result.alerts.sort("severity", descending=True).select(
    "key", "time", "severity", "level", pl.col("detectors").list.len().alias("detectors")
)
print(worst.head(10))
