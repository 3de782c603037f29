"""The real trades, read by the standard library alone."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from itertools import islice

from folders import DATA
from oracle_spec import SECOND, Row, Value

FOLDER = DATA / "trades"
AIG = FOLDER / "AIG_2013-10-07_11.trades.csv.gz"


def _nanoseconds(text: str) -> int:
    """RFC 3339 with nine decimals."""
    whole, decimals = text.removesuffix("Z").split(".")
    return int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()) * SECOND + int(decimals)


def real_trades(rows: int) -> list[Row]:
    """The first rows of AIG; prices as whole billionths."""
    found: list[Row] = []
    with gzip.open(AIG, "rt", newline="") as lines:
        for number, line in enumerate(islice(csv.DictReader(lines), rows), start=1):
            columns: dict[str, Value] = {name: int(line[name]) for name in ("size", "flags", "sequence", "publisher_id")}
            columns |= {name: line[name] for name in ("action", "side")}
            columns["price"] = round(float(line["price"]) * 1e9)
            found.append(Row(line["symbol"], _nanoseconds(line["ts_recv"]), columns, row=number))
    return found
