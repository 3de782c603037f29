"""Law 3 in one process: whatever step a run dies at, and however often, running again leaves what one run without a death leaves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from case import Case
from driver import plan_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from restart_runs import Fate, Job, Left, crashed_and_run_again, disordered, fated, left, small_pieces, split_over
from strategies import MORE
from under_test import BARS, BUFFERED, ROLLED

from offbeat.evaluate.generate_bars import generate_bars

# The files that a process killed in the simulation had open are closed by the collector, which warns of them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _pieces() -> Iterator[None]:
    with small_pieces():
        yield


def _job(name: str, folder: Path) -> Job:
    """Made anew in `folder`."""
    if name == "bars":
        sources: tuple[str, ...] = (str(generate_bars(folder / "in", symbols=3, days=2, seed=5) / "*.csv"),)
        return Job(plan_of(BARS), sources, folder / "out", block=30_000)
    if name == "gz":
        lines = disordered(ROLLED, 250, step=1200, reach=9000, seed=11)
        return Job(plan_of(ROLLED), split_over(folder / "in", ROLLED, lines, ["only.csv.gz"], 1), folder / "out", block=1500)
    case: Case = {"rolled": ROLLED, "buffered": BUFFERED}[name]
    step, reach = (1200, 9000) if case is ROLLED else (2, 6)
    lines = disordered(case, 300, step=step, reach=reach, seed=3)
    names = ["b.csv", "a.csv.gz", "c.csv"]
    return Job(plan_of(case), split_over(folder / "in", case, lines, names, 7), folder / "out", block=900)


JOBS = ("bars", "rolled", "buffered", "gz")


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    return _job(request.param, tmp_path)


def _whole(job: Job) -> tuple[Left, Fate]:
    whole = replace(job, out=job.out.with_name("whole"))
    with fated() as fate:
        run = whole.run()
    return left(whole, run), fate


@pytest.mark.heavy
def test_a_run_with_a_state_leaves_what_one_without_leaves(job: Job) -> None:
    with_state, _ = _whole(job)
    bounded = replace(job, out=job.out.with_name("bounded"))
    without = left(bounded, bounded.run(state=False))
    assert {name: without[name] for name in without} == with_state
    assert with_state["ledger"]["rows_in"] > 200
    assert len(with_state["jsonl"]) > 20, "the files are there to raise alerts"
    assert with_state["quarantine"], "and to have wrong rows"


@pytest.mark.heavy
def test_dying_at_any_steps(job: Job) -> None:
    expected, whole = _whole(job)
    steps = st.integers(0, whole.count - 1)
    # Half the deaths in the last tenth: that is where the end of the input is worked through.
    late = st.integers(whole.count * 9 // 10, whole.count - 1)
    tries = 0

    @settings(max_examples=12 * MORE)
    @given(st.lists(st.tuples(st.one_of(steps, late), st.booleans()), min_size=1, max_size=3))
    @example([(whole.count - 1, True)])
    @example([(5, True), (5, True), (whole.count // 2, False)])
    def law(crashes: list[tuple[int, bool]]) -> None:
        nonlocal tries
        tries += 1
        again = replace(job, out=job.out.with_name(f"again{tries}"))
        run, steps = crashed_and_run_again(again, crashes)
        assert run.complete
        assert left(again, run) == expected, f"died after {steps}"
        assert not list(again.out.rglob("*.partial")), "nothing unfinished lies about"
        shutil.rmtree(again.out)

    law()


@pytest.mark.heavy
def test_dying_at_every_single_step(tmp_path: Path) -> None:
    lines = disordered(ROLLED, 60, step=3000, reach=9000, seed=4)
    sources = split_over(tmp_path / "in", ROLLED, lines, ["b.csv.gz", "a.csv"], 2)
    job = Job(plan_of(ROLLED), sources, tmp_path / "out")
    expected, whole = _whole(job)
    assert whole.count > 100
    for at in range(whole.count):
        again = replace(job, out=tmp_path / f"again{at}")
        run, steps = crashed_and_run_again(again, [(at, at % 2 == 0)])
        assert left(again, run) == expected, f"died after {steps}"
        shutil.rmtree(again.out)
