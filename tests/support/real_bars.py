"""The real minute bars, read by the standard library alone."""

from __future__ import annotations

import csv
from datetime import datetime

from folders import DATA
from oracle_spec import SECOND, Row, Value

FOLDER = DATA / "bars"
NAME = "AARTIIND__EQ__NSE__NSE__MINUTE.csv"


def real_rows() -> list[Row]:
    """The file by the standard library; a line that is not whole is a fault."""
    rows: list[Row] = []
    with (FOLDER / NAME).open(newline="") as lines:
        for number, line in enumerate(csv.DictReader(lines), start=1):
            try:
                seconds = int(datetime.fromisoformat(line["timestamp"]).timestamp())
                columns: dict[str, Value] = {name: float(line[name]) for name in ("open", "high", "low", "close")}
                columns["volume"] = float(line["volume"])
            except (ValueError, TypeError):
                empty: dict[str, Value] = dict.fromkeys(("open", "high", "low", "close", "volume"))
                rows.append(Row("AARTIIND", None, empty, fault="missing", row=number))
            else:
                rows.append(Row("AARTIIND", seconds * SECOND, columns, row=number))
    return rows
