"""Starting: what is imported, help, versions, errors of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from command import Command, finished, offbeat

from offbeat._version import __version__

__all__ = ["offbeat"]
HEAVY = ("numba", "polars", "pyarrow", "pydantic", "sqlglot", "exchange_calendars", "numpy", "pandas", "rich")
COMMANDS = [
    ["run"], ["lint"], ["schema"], ["explain"], ["alerts"], ["quarantine", "list"], ["quarantine", "export"], ["generate", "bars"],
]  # fmt: skip


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from offbeat.cli.app import main; sys.argv = ['offbeat', '--help']\n"
        f"try: main()\nexcept SystemExit: pass\nloaded = [m for m in {HEAVY} if m in sys.modules]; assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.heavy
def test_a_run_over_parquet_does_not_import_pandas(tmp_path: Path) -> None:
    """It would be half a second of each start."""
    zoned = pl.Series([1_700_000_000_000_000], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    record = {"cdr_id": 1, "customer_id": 7, "timestamp": zoned, "cdr_type": "DATA", "data_volume_mb": 1.0, "wilaya_code": "16"}
    pl.DataFrame(record).write_parquet(tmp_path / "in.parquet")
    code = (
        "import sys; from offbeat.cli.app import main\n"
        "sys.argv = ['offbeat', 'run', 'cdr', 'in.parquet', '--alerts', 'out.parquet', '--json']\n"
        "try: main()\nexcept SystemExit: pass\nassert 'polars' in sys.modules and 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"rows_in": 1' in done.stdout


@pytest.mark.parametrize("words", COMMANDS, ids="-".join)
def test_every_help_has_examples(offbeat: Command, words: list[str]) -> None:
    done = offbeat(*words, "--help")
    assert done.code == 0
    assert "Example" in done.out
    assert f"offbeat {' '.join(words)}" in done.out.split("Example")[1]


def test_help_names_the_exit_codes(offbeat: Command) -> None:
    done = offbeat("--help")
    assert done.code == 0
    assert "Exit codes: 0 done" in done.out


def test_version() -> None:
    assert finished("--version").out == f"offbeat {__version__}\n"


@pytest.mark.parametrize(
    "words", [["bogus"], ["run"], ["run", "bars", "x", "--bogus"], ["explain", "worst"], ["generate", "bars", "--days", "x"]]
)
def test_wrong_usage_is_the_users_error(offbeat: Command, words: list[str]) -> None:
    done = offbeat(*words)
    assert done.code == 2
    assert done.out == ""
    assert "Usage: offbeat" in done.err


def test_an_error_of_ours_is_one_line(offbeat: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise KeyError("two\nlines")

    monkeypatch.setattr("offbeat.cli.execute.execute", broken)
    done = offbeat("run", "bars", "x")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "internal error (KeyError" in done.err
    assert "--debug" in done.err
    done = offbeat("run", "bars", "x", "--debug")
    assert done.code == 1
    assert "Traceback" in done.err


def test_every_problem_has_its_line(offbeat: Command) -> None:
    done = offbeat("run", "bars", "x", "--set", "bar.nothing.a=1", "--set", "qualty.lateness=1s")
    assert done.code == 2
    assert [line[:15] for line in done.err.splitlines()] == ["offbeat: --set "] * 2
