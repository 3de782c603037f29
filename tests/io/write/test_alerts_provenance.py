"""Where an alert's row came from: beside the alerts, by the same discipline."""

from __future__ import annotations

from pathlib import Path

import pytest
from alert_blocks import as_table, two_bars

from offbeat.errors import UserError
from offbeat.io.read.alert_files import find_alert
from offbeat.io.write.provenance import Origin, find_origin, open_provenance, provenance_path, provenance_table
from offbeat.io.write.sinks import open_sink


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_an_alert_is_found_with_its_row(tmp_path: Path, name: str, bounded: bool) -> None:
    uri = str(tmp_path / name)
    for sink, table in (
        (open_sink(uri, bounded=bounded), as_table(two_bars())),
        (open_provenance(uri, bounded=bounded), provenance_table(two_bars(), ["in/X.csv", "in/Y.csv"])),
    ):
        sink.write(table)
        sink.close(True)
    assert provenance_path(uri).name == f"{name}.provenance.parquet"
    assert find_origin(uri, "ab" + "0" * 28 + "01") == Origin("in/X.csv", 17)
    assert find_origin(uri, "f" * 32) is None, "a window has no row"
    assert find_origin(uri, "0" * 32) is None
    assert find_alert(uri, "AB00")["key"] == 'X"\n<&>'
    assert find_alert(uri, "ffff")["time"] == "1970-01-01T00:01:00.000000000Z"
    for wrong in ("12", "", "zz"):
        with pytest.raises(UserError):
            find_alert(uri, wrong)


def test_a_beginning_of_several_ids_is_not_enough(tmp_path: Path) -> None:
    block = two_bars()
    block.ids[:] = 7
    block.ids[1, 15] = 8
    sink = open_sink(str(tmp_path / "a.jsonl"))
    sink.write(as_table(block))
    sink.close(True)
    with pytest.raises(UserError, match=r"2 alerts in .* give more digits"):
        find_alert(tmp_path / "a.jsonl", "0707")


def test_a_missing_sidecar_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.jsonl\.provenance\.parquet is missing"):
        find_origin(str(tmp_path / "a.jsonl"), "0" * 32)
