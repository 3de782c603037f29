#!/usr/bin/env bash
# From minute bars and trades to explained alerts: on real files where ../shared/data is there, else on rows made up on the spot.
#   examples/demo.sh [OFFBEAT [DATA [OUT]]]
set -euo pipefail
offbeat=${1:-.venv/bin/offbeat}
data=${2:-../shared/data}
out=${3:-build/demo}

# What is run is shown first, as one would type it.
step() {
    printf '\n$ offbeat %s\n' "$*"
    "$offbeat" "$@"
}

mkdir -p "$out"
if [ -d "$data/bars" ]; then
    bars=$data/bars
else
    echo "No real bars at $data/bars: making some up, with anomalies planted in them."
    bars=$out/bars
    rm -rf "$bars"
    step generate bars --symbols 5 --days 20 --seed 1 --out "$bars"
fi
step run bars "$bars" --alerts "$out/alerts.jsonl"
step explain worst --alerts "$out/alerts.jsonl" --plot "$out/worst.html"

if [ -d "$data/trades" ]; then
    trades=$data/trades
else
    echo "No real trades at $data/trades: making some up, with anomalies planted in them."
    trades=$out/trades.csv
    rm -f "$trades"
    step generate trades --rows 100000 --symbols 2 --seed 1 --out "$trades"
fi
step run trades "$trades" --alerts "$out/trades.parquet"
step explain worst --alerts "$out/trades.parquet" --plot "$out/worst_trade.html"
