"""Bad input: one clear line on standard error, exit code 2, nothing left behind."""

from __future__ import annotations

import resource
from importlib.resources import files
from pathlib import Path

import pytest
from command import BARS, DATA, STREAM, Command, finished, offbeat

from offbeat.evaluate.generate_bars import generate_bars

__all__ = ["offbeat"]
PIPELINE = files("offbeat.pipelines").joinpath("bars.yaml").read_text()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with one file of bars."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "A_x.csv").write_text(BARS + "2017-01-02 09:15:00+05:30,1,1,1,1,1\n")
    return tmp_path


def test_no_source(offbeat: Command) -> None:
    said = offbeat.refused("run", "bars")
    assert "no source" in said
    assert "a folder" in said


@pytest.mark.usefixtures("here")
def test_missing_file(offbeat: Command) -> None:
    assert offbeat.refused("run", "bars", "nothing.csv").startswith("nothing.csv: no such file")


def test_empty_folder(offbeat: Command, here: Path) -> None:
    (here / "empty").mkdir()
    assert "empty: the folder is empty" in offbeat.refused("run", "bars", "empty")


def test_unknown_column_in_a_rule(offbeat: Command, here: Path) -> None:
    (here / "p.yaml").write_text(PIPELINE.replace("abs(close /", "abs(clos /"))
    said = offbeat.refused("run", "p.yaml", "A_x.csv")
    assert said.startswith("p.yaml:")
    assert "unknown column 'clos'; did you mean 'close'?" in said


def test_wrong_zone(offbeat: Command, here: Path) -> None:
    (here / "p.yaml").write_text(PIPELINE.replace("Asia/Kolkata", "Asia/Kolkatta"))
    assert "unknown zone 'Asia/Kolkatta'; did you mean 'Asia/Kolkata'?" in offbeat.refused("run", "p.yaml", "A_x.csv")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("pipeline", ["nothing.yaml", "barz", "."])
def test_no_pipeline(offbeat: Command, pipeline: str) -> None:
    assert offbeat.refused("run", pipeline, "A_x.csv").startswith(f"{pipeline}: ")


def test_a_folder_where_a_file_should_be(offbeat: Command, here: Path) -> None:
    (here / "out.jsonl").mkdir()
    assert "it is a folder" in offbeat.refused("run", "bars", "A_x.csv", "--alerts", "out.jsonl")


def test_a_binary_file_called_csv(offbeat: Command, here: Path) -> None:
    (here / "B_x.csv").write_bytes(b"\x00\x01\xff" * 1000)
    assert "B_x.csv: this is a binary file" in offbeat.refused("run", "bars", "B_x.csv")


def test_mixed_schemas_in_one_folder(offbeat: Command, here: Path) -> None:
    (here / "in").mkdir()
    (here / "A_x.csv").rename(here / "in" / "A_x.csv")
    (here / "in" / "B_x.csv").write_text("a,b\n1,2\n")
    assert offbeat.refused("run", "bars", "in").startswith("in/B_x.csv: the time column 'timestamp'")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("uri", ["/proc/out.jsonl", "out.xlsx", "ftp://host/out.jsonl", "A_x.csv/out.jsonl"])
def test_unwritable_output(offbeat: Command, uri: str) -> None:
    said = offbeat.refused("run", "bars", "A_x.csv", "--alerts", uri)
    assert said.startswith("cannot ")
    assert uri.split(":", maxsplit=1)[0] in said


@pytest.mark.parametrize(
    "words",
    [["--quarantine", "A_x.csv"], ["--quarantine", "q.txt"], ["--alerts", "o.jsonl", "--alerts", "o.jsonl"], ["--json", "--alerts", "-"]],
)
def test_what_cannot_be_asked_for(offbeat: Command, here: Path, words: list[str]) -> None:
    before = (here / "A_x.csv").read_text()
    offbeat.refused("run", "bars", "A_x.csv", *words)
    assert (here / "A_x.csv").read_text() == before


def test_an_output_is_never_an_input(offbeat: Command, here: Path) -> None:
    (here / "p.yaml").write_text(STREAM)
    rows = '{"k": "a", "t": "2024-01-01T00:00:00Z", "v": 1}\n'
    (here / "in.jsonl").write_text(rows)
    for words in (["--alerts", "in.jsonl"], ["--alerts", "./in.jsonl", "--state", "state"]):
        assert offbeat.refused("run", "p.yaml", "in.jsonl", *words).startswith("cannot write in.jsonl: ")
    said = offbeat.refused("run", "p.yaml", "in.jsonl", "--alerts", "o.parquet", "--quarantine", "o.parquet")
    assert said.startswith("cannot write o.parquet: ")
    assert (here / "in.jsonl").read_text() == rows


@pytest.mark.usefixtures("here")
def test_unknown_engine(offbeat: Command) -> None:
    assert "no engine 'flink'" in offbeat.refused("run", "bars", "A_x.csv", "--engine", "flink")


def test_a_state_of_something_else(offbeat: Command, here: Path) -> None:
    assert offbeat("run", "bars", "A_x.csv", "--state", "state").code == 0
    (here / "other.yaml").write_text(PIPELINE.replace("name: bars", "name: others"))
    assert "state of pipeline 'bars', not of 'others'" in offbeat.refused("run", "other.yaml", "A_x.csv", "--state", "state")
    (here / "longer.yaml").write_text(PIPELINE.replace("over: 10 cadences", "over: 11m"))
    assert "another views.bar.windows.ten_minutes" in offbeat.refused("run", "longer.yaml", "A_x.csv", "--state", "state")
    file = here / "state" / "state.arrow"
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    assert "state.arrow: not a" in offbeat.refused("run", "bars", "A_x.csv", "--state", "state")
    file.write_bytes(good)
    assert offbeat("run", "bars", "A_x.csv", "--state", "state").code == 0
    assert "it is a file" in offbeat.refused("run", "bars", "A_x.csv", "--state", "A_x.csv")


@pytest.mark.usefixtures("here")
def test_a_state_of_another_version(offbeat: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offbeat("run", "bars", "A_x.csv", "--state", "state").code == 0
    monkeypatch.setattr("offbeat.core.state.FORMAT", 999)
    assert "written by another version of offbeat" in offbeat.refused("run", "bars", "A_x.csv", "--state", "state")


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_bars(tmp_path_factory.mktemp("bars"), symbols=2, days=10, seed=1)


@pytest.mark.heavy
@pytest.mark.parametrize("words", [["--alerts", "-"], ["--json"], []])
def test_standard_output_on_a_full_disk(bars: Path, words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = finished("run", "bars", bars, *words, stdout=full)
    assert done.code == 2
    assert done.err.splitlines()[-1].endswith("No space left on device")
    assert "Traceback" not in done.err


def test_a_full_disk(offbeat: Command, here: Path, bars: Path) -> None:
    (here / "out.jsonl").symlink_to("/dev/full")
    assert offbeat.refused("run", "bars", bars, "--alerts", "out.jsonl") == "cannot write out.jsonl: No space left on device"


@pytest.mark.heavy
@pytest.mark.parametrize("out", ["out.jsonl", "out.parquet"])
@pytest.mark.parametrize("state", [[], ["--state", "state"]])
def test_a_file_that_may_not_grow(here: Path, bars: Path, out: str, state: list[str]) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = finished("run", "bars", bars, "--alerts", out, *state, before=limit)
    assert (done.code, done.out) == (2, "")
    # The state is stored once before outputs are written, and it may be what does not fit.
    what = "cannot write the state to state/state.arrow" if state else f"cannot write {out}"
    assert done.err.splitlines()[-1].startswith(f"offbeat: {what}: File too large")
    if not state:
        assert sorted(p.name for p in here.iterdir()) == ["A_x.csv"]


@pytest.mark.usefixtures("here")
def test_reading_what_is_not_there(offbeat: Command) -> None:
    assert "it does not exist" in offbeat.refused("alerts", "nothing.jsonl")
    assert "it does not exist" in offbeat.refused("explain", "worst", "--alerts", "nothing.parquet")
    assert "it does not exist" in offbeat.refused("quarantine", "list", "nothing.parquet")
    assert "is not a quarantine" in offbeat.refused("quarantine", "list", "A_x.csv")
    assert "does not hold JSON lines" in offbeat.refused("alerts", "A_x.csv")
    assert "it is a file" in offbeat.refused("generate", "bars", "--out", "A_x.csv")
    assert " sessions from 2021-01-01 on" in offbeat.refused("generate", "bars", "--days", "100000", "--out", "x")


@pytest.mark.heavy
def test_the_shared_data_has_no_write_access_needed() -> None:
    """Nothing is ever written beside the sources."""
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data")
    before = sorted(p.name for p in (DATA / "bars").iterdir())
    assert finished("run", "bars", DATA / "bars", "--json").code == 0
    assert sorted(p.name for p in (DATA / "bars").iterdir()) == before
