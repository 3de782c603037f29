#!/usr/bin/env bash
# Trades into a topic of Kafka, a worker on it, and its alerts as they appear; at the end everything that was started is stopped.
#   examples/demo_live.sh [OFFBEAT [DATA [OUT [SECONDS]]]]
set -euo pipefail
offbeat=${1:-.venv/bin/offbeat}
data=${2:-../shared/data}
out=${3:-build/demo-live}
seconds=${4:-30}
python=$(dirname "$offbeat")/python
broker=deploy/kafka/broker.py
started=()

stop() {
    trap - EXIT INT TERM
    # The broker last: the worker commits before it ends.
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        kill "${started[$i]}" 2>/dev/null || true
        wait "${started[$i]}" 2>/dev/null || true
    done
    printf '\nstopped: the broker, the replay and the worker; their output is in %s\n' "$out"
}
trap stop EXIT INT TERM

# What is run is shown first, as one would type it.
step() {
    printf '\n$ offbeat %s\n' "$*"
    "$offbeat" "$@"
}

background() {
    local log=$1
    shift
    printf '\n$ offbeat %s &\n' "$*"
    "$offbeat" "$@" >"$log" 2>&1 &
    started+=($!)
}

mkdir -p "$out"
rm -rf "$out/state"
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
KAFKA_PORT=$port "$python" "$broker" >"$out/broker.log" 2>&1 &
started+=($!)
for _ in $(seq 600); do
    grep -q 'listens on' "$out/broker.log" && break
    kill -0 "${started[0]}" 2>/dev/null || { cat "$out/broker.log"; exit 1; }
    sleep 0.2
done
cat "$out/broker.log"

if [ -d "$data/trades" ]; then
    trades=$data/trades
else
    echo "No real trades at $data/trades: making some up, with anomalies planted in them."
    trades=$out/trades.csv
    rm -f "$trades"
    step generate trades --rows 100000 --symbols 2 --seed 1 --out "$trades"
fi
at=kafka://127.0.0.1:$port
background "$out/replay.log" replay "$trades" "$at/trades" --speed 3600x --punctuate 1h
for _ in $(seq 300); do
    "$python" -c "
import sys
from confluent_kafka.admin import AdminClient
sys.exit('trades' not in AdminClient({'bootstrap.servers': '127.0.0.1:$port'}).list_topics(timeout=10).topics)" && break
    sleep 0.2
done
background "$out/worker.log" run trades "$at/trades" --alerts "$at/anomalies" --state "$out/state"
for _ in $(seq 300); do
    "$offbeat" explain worst --alerts "$at/anomalies" >/dev/null 2>&1 && break  # the first alerts are there
    sleep 1
done
printf '\n$ offbeat alerts %s   (for %s seconds)\n' "$at/anomalies" "$seconds"
timeout --signal=INT "$seconds" "$offbeat" alerts "$at/anomalies" --follow --limit 1 || true
step explain worst --alerts "$at/anomalies"
