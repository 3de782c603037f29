"""Commands that look at things: lint, schema, alerts, explain, quarantine, generate; and the demo."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import polars as pl
import pytest
from command import OFFBEAT, STREAM, Command, offbeat
from folders import ROOT

from offbeat.evaluate.generate_bars import generate_bars
from offbeat.io.read.alert_files import read_alerts

__all__ = ["offbeat"]


@pytest.fixture
def ran(offbeat: Command, tmp_path: Path) -> Path:
    """A folder with generated bars, the alerts of them and the rows set aside."""
    generate_bars(tmp_path / "bars", symbols=2, days=5, seed=1)
    assert offbeat("run", "bars", tmp_path / "bars", "--alerts", tmp_path / "out.jsonl", "--alerts", tmp_path / "out.parquet").code == 0
    words = ["--alerts", tmp_path / "parts.parquet", "--state", tmp_path / "state"]
    assert offbeat("run", "bars", tmp_path / "bars", *words).code == 0
    return tmp_path


def test_lint(offbeat: Command, tmp_path: Path) -> None:
    assert offbeat("lint", "bars").out == "bars: fine\n"
    wrong = tmp_path / "p.yaml"
    wrong.write_text("name: p\nsource: {key: k, time: t, colums: {v: float}}\nview: {}\n")
    done = offbeat("lint", wrong)
    assert done.code == 2
    assert all(line.startswith(f"offbeat: {wrong}:") for line in done.err.splitlines())
    assert len(done.err.splitlines()) > 1
    wrong.write_text(STREAM.replace("v > 2 * m", "v > -1"))
    done = offbeat("lint", wrong)
    assert done.code == 0
    assert "warning: " in done.err
    assert "warning" in done.out


def test_schema(offbeat: Command) -> None:
    assert json.loads(offbeat("schema").out)["title"] == "offbeat pipeline"


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "parts.parquet"])
def test_alerts_and_explain(offbeat: Command, ran: Path, name: str) -> None:
    table = offbeat("alerts", ran / name, "--limit", "3")
    assert table.code == 0
    assert "the 3 worst of" in table.out
    first, _, _ = re.findall(r"\b[0-9a-f]{12}\b", table.out)
    plot = ran / "plot.html"
    words = offbeat("explain", first, "--alerts", ran / name, "--plot", plot)
    assert words.code == 0, words.err
    assert "rule: volume > 1.02 * mean_volume" in words.out
    assert " IST" in words.out  # the shipped pipeline was found, and with it the zone
    assert words.out.endswith(f"plot: {plot}\n")
    assert "<svg" in plot.read_text()
    key = str(read_alerts(ran / name)["key"][0])
    assert offbeat("alerts", ran / name, "--key", key).code == 0
    assert "no alerts of key 'NONE'" in offbeat.refused("alerts", ran / name, "--key", "NONE")
    assert "no alert 'zz'" in offbeat.refused("explain", "zz", "--alerts", ran / name)


def test_a_plot_needs_the_pipeline_and_the_file(offbeat: Command, ran: Path) -> None:
    own = ran / "own.yaml"
    text = (ROOT / "offbeat" / "pipelines" / "bars.yaml").read_text()
    own.write_text(text.replace("name: bars", "name: own"))
    assert offbeat("run", own, ran / "bars", "--alerts", ran / "own.jsonl").code == 0
    ask = ["explain", "worst", "--alerts", ran / "own.jsonl", "--plot", ran / "p.html"]
    done = offbeat(*ask)
    assert done.code == 2
    assert "--pipeline FILE.yaml" in done.err
    assert offbeat(*ask, "--pipeline", own).code == 0
    said = offbeat.refused(*ask, "--pipeline", "bars")
    assert "'bars'" in said
    assert "'own'" in said
    for file in (ran / "bars").glob("*.csv"):
        file.unlink()
    done = offbeat(*ask, "--pipeline", own)
    assert done.code == 2
    assert re.search(rf"^offbeat: {ran / 'bars'}/\w+\.csv: ", done.err)


def test_quarantined_rows_come_back(offbeat: Command, ran: Path) -> None:
    quarantine = ran / "out.jsonl.quarantine.parquet"
    table = offbeat("quarantine", "list", quarantine, "--reason", "missing")
    assert table.code == 0
    assert "missing" in table.out
    assert "no quarantined rows with reason nonsense" in offbeat.refused("quarantine", "list", quarantine, "--reason", "nonsense")
    out = ran / "repaired"
    done = offbeat("quarantine", "export", quarantine, "--out", out)
    assert done.code == 0
    files = sorted(out.iterdir())
    assert [str(file) for file in files] == done.out.splitlines()[:-1]
    for file in files:
        header, _ = file.read_text().splitlines()
        file.write_text(f"{header}\n2021-01-04 09:15:00+05:30,1,1,1,1,1\n")
    assert "it is not an empty folder" in offbeat.refused("quarantine", "export", quarantine, "--out", out)
    again = offbeat("run", "bars", out, "--json")
    assert again.code == 0, again.err
    figures = json.loads(again.out)
    assert (figures["rows_in"], figures["quarantined"]) == (len(files), {})


def test_generate(offbeat: Command, tmp_path: Path) -> None:
    done = offbeat("generate", "bars", "--symbols", "2", "--days", "3", "--seed", "5", "--out", tmp_path / "bars")
    assert done.code == 0
    assert len(list((tmp_path / "bars").glob("*.csv"))) == 2
    assert pl.read_parquet(tmp_path / "bars" / "_labels.parquet").height > 0


@pytest.mark.heavy
def test_the_demo_without_real_data(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", ROOT / "examples" / "demo.sh", OFFBEAT, tmp_path / "no data", tmp_path / "out put"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the 10 worst of" in done.stdout
    assert "voted:" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("plot: ")
    assert (tmp_path / "out put" / "worst.html").is_file()
