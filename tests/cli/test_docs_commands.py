"""What the pages show is what the commands print."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import polars as pl
import pytest
from command import DATA, Command, offbeat
from fenced import blocks
from folders import DOCS, ROOT

from offbeat.io.read.alert_files import read_alerts

__all__ = ["offbeat"]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")])


def squeezed(text: str) -> list[str]:
    """The lines without frames, times and hashes, for comparison."""
    lines = (" ".join(re.sub(r"[─-╿]+", " ", line).split()) for line in text.splitlines())
    return [re.sub(r" in [\d.]+ s, peak memory .*", "", line) for line in lines if line and not line.startswith("Alert ")]


def test_your_own_csv(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = DOCS / "run-on-your-csv.md"
    Path("machines.csv").write_text(blocks(page, "csv")[0])
    Path("machines.yaml").write_text(blocks(page, "yaml")[0])
    shown = [*blocks(page, ""), *blocks(DOCS / "bad-rows.md", "")]
    assert len(shown) == 6
    for block in shown:
        command, _, expected = block.partition("\n")
        if "repaired --alerts" in command:
            exported = Path("repaired/machines.csv")
            assert exported.read_text() == blocks(DOCS / "bad-rows.md", "csv")[0]
            exported.write_text(exported.read_text().replace(",,", ",55.2,").replace("-999", "55.0"))
        done = offbeat(*command.removeprefix("$ offbeat ").split())
        assert done.code == 0, done.err
        if expected:
            assert squeezed(done.out) == squeezed(expected)
    assert "15" in done.out


def test_evaluate_on_labels(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(DOCS / "evaluate.md", "")
    lines = block.splitlines()
    commands = [line for line in lines if line.startswith("$ ")]
    for command in commands:
        words, _, file = command.partition(" > ")
        done = offbeat(*words.removeprefix("$ offbeat ").split())
        assert done.code == 0, done.err
        if file:
            Path(file).write_text(done.out)
    assert squeezed(done.out) == squeezed("\n".join(lines[len(commands) :]))
    assert "false alarms" in done.out


def forest_of(alerts: str) -> dict[tuple[str, str], tuple[float, float, int]]:
    """By customer and day: the forest's raw score, its limit and its version."""
    records = [json.loads(line) for line in Path(alerts).read_text().splitlines()]
    return {
        (record["key"], record["time"]): (detector["raw"], detector["threshold"], detector["model_version"])
        for record in records
        if record["view"] == "customer_day"
        for detector in record["detectors"]
        if detector["name"] == "forest"
    }


@pytest.mark.heavy
def test_nightly_alerts(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = DOCS / "nightly-alerts.md"
    first, *_ = blocks(page, "")
    typed = [line.removeprefix("$ ") for line in first.splitlines()] + [line for block in blocks(page, "sh") for line in block.splitlines()]
    assert len(typed) == 10
    for line in typed:
        if " records " in line:
            table = pl.read_parquet("calls/*/*.parquet").rename({"customer_id": "msisdn", "timestamp": "start_time"})
            Path("records").mkdir()
            table.write_parquet("records/all.parquet")
        done = offbeat(*shlex.split(line, comments=True)[1:])
        assert done.code == 0, done.err
        if line.startswith("offbeat explain 5a823f411057"):
            assert "5a823f411057" in done.out
            # 5 February, less a lag of six days.
            assert "compared with 29 windows from 2024-01-01 00:00:00 CET to 2024-01-30 00:00:00 CET" in " ".join(done.out.split())
    assert read_alerts("fixed.jsonl").height > 100
    borrowed, own = (forest_of(name) for name in ("borrowed.jsonl", "alerts.jsonl"))
    assert len(borrowed) > 20
    assert borrowed.items() <= own.items(), "the day for which it was trained, judged by the same model"
    days = [read_alerts(name).filter(view="customer_day").height for name in ("alerts.jsonl", "few.jsonl")]
    assert days[0] > 2 * days[1], "most alerts of customers are those of spike_ratio"


@pytest.mark.heavy
def test_add_a_day(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's commands in their order; files are moved as it says, and corrected ones are made here."""
    monkeypatch.chdir(tmp_path)
    seen = []
    for block in blocks(DOCS / "add-a-day.md", ""):
        first, *lines = block.removeprefix("$ ").split("\n$ ")
        for typed in (first, *lines):
            command, _, expected = typed.rstrip("\n").partition("\n")
            for words in map(shlex.split, command.split(" && ")):
                if words[0] == "mkdir":
                    Path(words[1]).mkdir()
                elif words[0] == "mv":
                    corrected = words[1] == "corrected.parquet"
                    if corrected:
                        pl.read_parquet(words[-1]).slice(0, -100).write_parquet(words[1])
                    for name in words[1:-1]:
                        shutil.move(name, words[-1])
                elif expected.startswith("offbeat: "):
                    path = Path(words[3]) / "part-0.parquet"
                    pl.read_parquet(path).slice(100).write_parquet(path)
                    assert offbeat.refused(*words[1:]) == expected.removeprefix("offbeat: ")
                else:
                    done = offbeat(*words[1:])
                    assert done.code == 0, done.err
                    seen.append(expected)
                    shown = squeezed(done.out)
                    assert [line for line in squeezed(expected) if line not in shown] == []
    assert len(seen) == 5


def test_the_readme_shows_the_shipped_pipeline() -> None:
    (shown,) = blocks(ROOT / "README.md", "yaml")
    assert (ROOT / "offbeat" / "pipelines" / "bars.yaml").read_text().endswith(f"\n{shown}")


def test_the_readme_shows_the_real_file(offbeat: Command, tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data")
    out = tmp_path / "alerts.jsonl"
    run, explain = blocks(ROOT / "README.md", "")
    printed = squeezed(offbeat("run", "bars", DATA / "bars", "--alerts", out).out)
    assert [line for line in squeezed(run)[1:] if line not in printed and "build/demo" not in line] == []
    printed = squeezed(offbeat("explain", "worst", "--alerts", out).out)
    assert [line for line in squeezed(explain)[1:] if line not in printed and "build/demo" not in line] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target
