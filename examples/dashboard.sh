#!/usr/bin/env bash
# A page in the browser, and alerts that come while one looks: real trades and bars are replayed, scored as they come, and kept in a store.
# Ctrl-C stops everything.
#   examples/dashboard.sh [OFFBEAT [DATA [OUT]]]
set -euo pipefail
offbeat=${1:-.venv/bin/offbeat}
data=${2:-../shared/data}
out=${3:-build/dashboard}
started=()

stop() {
    trap - EXIT INT TERM
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        kill -INT "${started[$i]}" 2>/dev/null || true
    done
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        wait "${started[$i]}" 2>/dev/null || true
    done
    printf '\nstopped: the page, the replays and the runs; the alerts are in %s\n' "$out/alerts.db"
}
trap stop EXIT INT TERM

mkdir -p "$out"
rm -rf "$out"/*.db "$out"/*.db-* "$out"/*.log "$out"/*.fifo "$out"/*.parquet

# What is run is shown first, as one would type it. The runs are jobs of their own: a signal ends the replay first, then its reader.
feed() {
    local pipeline=$1 source=$2 speed=$3 fifo=$out/$1.fifo
    printf '$ offbeat replay %s --speed %s | offbeat run %s - --alerts sqlite:///%s/alerts.db\n' "$source" "$speed" "$pipeline" "$out"
    mkfifo "$fifo"
    "$offbeat" run "$pipeline" - --alerts "sqlite:///$out/alerts.db" <"$fifo" >"$out/$pipeline.log" 2>&1 &
    started+=($!)
    "$offbeat" replay "$source" --speed "$speed" >"$fifo" 2>"$out/replay-$pipeline.log" &
    started+=($!)
}

trades=$data/trades
bars=$data/bars
if [ ! -d "$trades" ]; then
    echo "No real trades at $trades: making some up, with anomalies planted in them."
    trades=$out/trades.csv
    rm -f "$trades"
    "$offbeat" generate trades --rows 100000 --symbols 2 --seed 1 --out "$trades"
fi
if [ ! -d "$bars" ]; then
    bars=$out/bars
    rm -rf "$bars"
    "$offbeat" generate bars --symbols 5 --days 60 --seed 1 --out "$bars"
fi
feed trades "$trades" 1200x
feed bars "$bars" 20000x
for _ in $(seq 600); do
    [ -s "$out/alerts.db" ] && break
    sleep 0.2
done
printf '$ offbeat dashboard --store sqlite:///%s/alerts.db --source trades=%s --source bars=%s\n' "$out" "$trades" "$bars"
"$offbeat" dashboard --store "sqlite:///$out/alerts.db" --source "trades=$trades" --source "bars=$bars" &
started+=($!)
wait $!
