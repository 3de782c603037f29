"""What commands print at 80 and at 120 columns: all of it fits, and nothing that a wide terminal shows is missing."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import termios
from itertools import takewhile
from pathlib import Path

import polars as pl
import pytest
from command import OFFBEAT, Command, finished, offbeat
from folders import ROOT
from rich.cells import cell_len

from offbeat.evaluate.generate_bars import generate_bars
from offbeat.evaluate.generate_trades import generate_trades
from offbeat.io.read.alert_files import read_alerts

__all__ = ["offbeat"]
WIDTHS = [80, 120]
WIDE = 300
COMMANDS = [
    [], ["run"], ["replay"], ["compare"], ["evaluate"], ["lint"], ["schema"], ["explain"], ["alerts"], ["quarantine"],
    ["store"], ["store", "prune"], ["store", "upgrade"], ["notify"],
    ["quarantine", "list"], ["quarantine", "export"], ["generate"], ["generate", "bars"], ["generate", "trades"], ["generate", "cdr"],
]  # fmt: skip
SHOWN = [
    ["alerts", "bars.jsonl", "--limit", "5"],
    ["alerts", "trades.jsonl", "--limit", "5"],
    ["run", "bars", "bars"],
    ["compare", "trades", "trades.csv"],
    ["compare", "trades", "trades.csv", "--labels", "_trades_labels.parquet"],
    ["evaluate", "bars.jsonl", "bars/_labels.parquet", "--ledger", "bars.json"],
    ["quarantine", "list", "bars.jsonl.quarantine.parquet"],
    ["explain", "worst", "--alerts", "bars.jsonl"],
    ["explain", "worst", "--alerts", "trades.jsonl"],
]
FRAMES = re.compile(r"[─-╿]+")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up bars and trades, and the alerts of both."""
    here = tmp_path_factory.mktemp("terminal")
    generate_bars(here / "bars", symbols=3, days=6, seed=1)
    generate_trades(here / "trades.csv", here / "_trades_labels.parquet", rows=12_000, symbols=2, seed=1, every=2_000)
    for name, source in (("bars", "bars"), ("trades", "trades.csv")):
        done = finished("run", name, source, "--alerts", f"{name}.jsonl", "--json", cwd=here)
        assert done.code == 0, done.err
        (here / f"{name}.json").write_text(done.out)
    return here


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def at(offbeat: Command, monkeypatch: pytest.MonkeyPatch, width: int, words: list[str]) -> str:
    """What the command prints on a terminal of that many columns."""
    monkeypatch.setenv("COLUMNS", str(width))
    done = offbeat(*words)
    assert done.code == 0, done.err
    return done.out


def said(text: str) -> set[str]:
    """The words of a page, without frames and without what differs from run to run."""
    return set(FRAMES.sub(" ", re.sub(r" in [\d.]+ s\b|peak memory [\d,]+ MB", " ", text)).split())


@pytest.mark.heavy
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
@pytest.mark.usefixtures("here")
def test_everything_fits_and_nothing_is_cut(offbeat: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], width: int) -> None:
    narrow = at(offbeat, monkeypatch, width, words)
    assert max(map(cell_len, narrow.splitlines())) <= width
    assert "…" not in narrow
    # where alerts take two lines, the second has no heading
    assert said(narrow) | {"what"} == said(at(offbeat, monkeypatch, WIDE, words)) | {"what"}


@pytest.mark.heavy
@pytest.mark.parametrize("width", WIDTHS)
def test_alerts_say_what_fired(offbeat: Command, monkeypatch: pytest.MonkeyPatch, here: Path, width: int) -> None:
    shown = at(offbeat, monkeypatch, width, ["alerts", "trades.jsonl", "--limit", "100000"])
    alerts = [json.loads(line) for line in (here / "trades.jsonl").read_text().splitlines()]
    assert len(alerts) > 10
    for alert in alerts:
        assert alert["alert_id"][:12] in said(shown)
    # a line does not break within what one detector found, unless it must
    voted = sum(detector["voted"] for alert in alerts for detector in alert["detectors"])
    whole = re.findall(r"(?:forest|covariance|zscore) \w+ [\d.,e+-]+ \(usual [\d.,e+-]+ to [\d.,e+-]+\)", shown)
    assert width != 80 or len(whole) == voted


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.usefixtures("here")
def test_compare_shows_its_figures(offbeat: Command, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    words = ["compare", "trades", "trades.csv", "--labels", "_trades_labels.parquet"]
    figures = json.loads(at(offbeat, monkeypatch, width, [*words, "--json"]))
    shown = said(at(offbeat, monkeypatch, width, words))
    assert len(figures["detectors"]) == 4
    for detector in figures["detectors"]:
        assert {detector["name"], detector["type"], f"{detector['rows']:,}", f"{detector['votes']:,}"} <= shown
        assert {f"{score:.3f}" for score in detector["scores"].values()} <= shown
        labels = detector["labels"]
        assert {f"{labels[name]:.3f}" for name in ("precision", "recall", "f1", "recall_by_chance", "roc_auc", "pr_auc")} <= shown
        assert {f"{kind['recall']:.3f}" for kind in labels["kinds"].values()} <= shown
    for pair in figures["agreement"]:
        assert {f"{pair[name]:,}" for name in ("rows", "votes_a", "votes_b", "both")} <= shown
        assert {f"{pair['jaccard']:.3f}", f"{pair['rank_correlation']:.3f}", f"{100 * pair['a_also_b']:.2f}"} <= shown


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.usefixtures("here")
def test_the_report_shows_the_gaps(offbeat: Command, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = at(offbeat, monkeypatch, width, ["run", "bars", "bars"]).splitlines()
    (title,) = (line for line in lines if line.startswith("gaps:"))
    assert "Asia/Kolkata" in title
    rows = [FRAMES.sub(" ", line).split() for line in lines[lines.index(title) :] if "2021-01-01" in line]
    assert len(rows) == 3
    for _, first, last, seen, missing, bars_seen, bars_missing in rows:
        assert (first, last, seen, missing) == ("2021-01-01", "2021-01-08", "6", "0")
        assert int(bars_seen.replace(",", "")) + int(bars_missing) == 6 * 375


@pytest.mark.heavy
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits(offbeat: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], width: int) -> None:
    lines = at(offbeat, monkeypatch, width, [*words, "--help"]).splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("words", [[], ["quarantine"], ["generate"], ["store"]], ids=" ".join)
def test_commands_are_described_in_a_line(offbeat: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    listed = at(offbeat, monkeypatch, 80, [*words, "--help"]).split("Commands:\n")[1].split("\n\n")[0]
    assert "..." not in listed


@pytest.mark.heavy
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_examples_in_help_are_commands(offbeat: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """All their options exist; `--help` keeps them from being carried out."""
    text = at(offbeat, monkeypatch, 80, [*words, "--help"])
    if words in (["quarantine"], ["generate"]):
        return
    parts = [part.strip() for line in text.splitlines() if line.startswith("    ") for part in line.split(" | ")]
    examples = [list(takewhile(lambda word: word != ">", shlex.split(part)))[1:] for part in parts if part.startswith("offbeat ")]
    assert any(example[: len(words)] == words for example in examples)
    for example in examples:
        done = offbeat(*example, "--help")
        assert done.code == 0, (example, done.err)


@pytest.mark.heavy
def test_a_real_terminal(here: Path) -> None:
    """As the others, with the width from the terminal itself."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    clean = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    words = [str(OFFBEAT), "alerts", "bars.jsonl", "--limit", "3"]
    running = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, cwd=here, env=clean)
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 65536):
            text += part
    except OSError:  # so does Linux say that the other end is closed
        pass
    os.close(ours)
    assert running.wait(timeout=60) == 0
    lines = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text.decode()).splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert sum(" IST" in line for line in lines) == 3
    assert sum(" > " in line for line in lines) >= 3


@pytest.mark.heavy
@pytest.mark.usefixtures("here")
def test_several_keys(offbeat: Command) -> None:
    counts = dict(read_alerts("bars.jsonl")["key"].cast(pl.String).value_counts().iter_rows())
    assert len(counts) == 3
    first, second, third = sorted(counts)
    done = offbeat("alerts", "bars.jsonl", "--key", first, "--key", third, "--limit", "2")
    assert done.code == 0
    assert f"{counts[first] + counts[third]:,} alerts" in done.out
    shown = offbeat("alerts", "bars.jsonl", "--key", first, "--key", third, "--limit", "100000").out
    assert {first, third} <= said(shown)
    assert second not in said(shown)
    done = offbeat("alerts", "bars.jsonl", "--key", first, "--key", "NONE")
    assert done.code == 0
    assert f"{counts[first]:,} alerts" in done.out
    assert "'NONE'" in done.err
    refused = offbeat.refused("alerts", "bars.jsonl", "--key", "NONE", "--key", "NOR")
    assert "'NONE'" in refused
    assert "'NOR'" in refused


def test_times_have_their_zone(offbeat: Command, here: Path, tmp_path: Path) -> None:
    """That of the pipeline where it is known, else UTC."""
    own, out = tmp_path / "own.yaml", tmp_path / "own.jsonl"
    own.write_text((ROOT / "offbeat" / "pipelines" / "bars.yaml").read_text().replace("name: bars", "name: own"))
    assert offbeat("run", own, here / "bars", "--alerts", out).code == 0
    for more, zone in (([], "UTC"), (["--pipeline", own], "IST")):
        done = offbeat("alerts", out, "--limit", "4", *more)
        assert len(re.findall(rf"\d\d:\d\d:\d\d {zone}\b", done.out)) == 4
        assert f" {zone}" in offbeat("explain", "worst", "--alerts", out, *more).out


@pytest.mark.parametrize("columns", [None, "0"])
@pytest.mark.usefixtures("here")
def test_a_pipe_of_unknown_width_has_a_line_an_alert(offbeat: Command, monkeypatch: pytest.MonkeyPatch, columns: str | None) -> None:
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    done = offbeat("alerts", "bars.jsonl", "--limit", "5")
    assert len([line for line in done.out.splitlines() if " IST" in line and " > " in line]) == 5
