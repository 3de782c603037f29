"""The population forest against its definition in plain Python, and the laws it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from adbench import needs_adbench
from oracle_forest import forest_scores
from oracle_population import Verdict, Window, fixed, rolling, sample_hash
from population_windows import DAY, PLAN, SEED, VIEW, Run, windows

from benchmarks.parity_adbench import parity
from offbeat.core.batch import F64
from offbeat.core.evidence import Evidence
from offbeat.core.plan import PopulationPlan
from offbeat.core.state import encode
from offbeat.detectors.build import method_of
from offbeat.detectors.detector import DetectorInput
from offbeat.detectors.isolation_forest.isolation_forest import Forests, IsolationForest
from offbeat.detectors.population.population import Population
from offbeat.detectors.population.population_model import load, save
from offbeat.detectors.population.population_sample import PopulationSample
from offbeat.detectors.population_forest.population_forest_kernels import packed, path_scores
from offbeat.detectors.trained.float32 import by_row
from offbeat.detectors.trained.model import Training
from offbeat.errors import UserError


def cuts(found: list[Window], size: int) -> Iterator[list[Window]]:
    for begin in range(0, len(found), size):
        yield found[begin : begin + size]


@pytest.fixture(scope="module")
def expected() -> list[Verdict]:
    return rolling(PLAN, VIEW, SEED, windows())


def test_verdicts_are_those_of_the_definition_to_the_bit(expected: list[Verdict]) -> None:
    assert Run().judge(windows()) == expected
    scored = [v for v in expected if v.raw is not None]
    assert 0.02 < sum(v.voted for v in scored) / len(scored) < 0.12


def test_a_sample_smaller_than_half_a_day_is_that_of_the_definition() -> None:
    plan = replace(PLAN, sample_rows=90, train_min=90, settings=(("sample", 90), ("trees", 5)))
    assert Run(plan).judge(windows()) == rolling(plan, VIEW, SEED, windows())


def test_every_window_without_a_null_is_scored_once_there_is_a_model(expected: list[Verdict]) -> None:
    # 270 of 300 keys a day, 97 % of them complete: the third day is the first with 450 before it; day 5 is missing, 6 learns from 2 to 4.
    for window, verdict in zip(windows(), Run().judge(windows()), strict=True):
        assert (verdict.raw is not None) == (window.start >= 18_002 * DAY and not np.isnan(window.features[0]))
    assert len({v.threshold for v in expected if v.raw is not None}) == 6


@pytest.mark.parametrize("size", [1, 37, 270, 1000])
def test_batches_and_restarts_change_nothing(size: int, expected: list[Verdict]) -> None:
    run, found = Run(), []
    for i, batch in enumerate(cuts(windows(), size)):
        if i % max(200 // size, 1) == 0:
            run = run.restarted()
        found += run.judge(batch)
    assert found == expected


def test_the_order_of_rows_changes_nothing(expected: list[Verdict]) -> None:
    shuffled = np.random.default_rng(4).permutation(len(expected)).tolist()
    found = windows()
    assert Run().judge([found[i] for i in shuffled]) == [expected[i] for i in shuffled]


def test_it_does_not_look_ahead(expected: list[Verdict]) -> None:
    start = 18_006 * DAY
    other = [replace(w, features=(99.0, 1e6)) if w.start > start or (w.start == start and w.key == "kü7") else w for w in windows()]
    same = [i for i, (one, two) in enumerate(zip(windows(), other, strict=True)) if one == two]
    found = Run().judge(other)
    assert len(same) > len(other) / 2
    assert [found[i] for i in same] == [expected[i] for i in same]


def test_a_tick_that_is_over_is_neither_judged_nor_learnt(expected: list[Verdict]) -> None:
    run, found = Run(), windows()
    third = [w for w in found if w.start <= 18_003 * DAY]
    rest = [w for w in found if w.start > 18_003 * DAY]
    run.judge(third)
    assert run.judge([]) == []
    first = run.judge(rest[:1])
    assert run.judge([replace(w, features=(1.0, 2.0)) for w in third]) == [Verdict()] * len(third)
    assert set(run.evidence.notes) == {"no verdict: windows that start later were judged before it"}
    assert first + run.judge(rest[1:]) == expected[len(third) :]


def saved(run: Run, folder: Path) -> str:
    """Path of the run's newest model."""
    path = folder / "forest.arrow"
    data = run.forest.model()
    assert data is not None
    path.write_bytes(data)
    return str(path)


def test_without_live_scores_those_of_the_sample_stand_in(tmp_path: Path) -> None:
    run = Run()
    before = [w for w in windows() if w.start < 18_003 * DAY]
    run.learn(before)
    judged = run.judge([w for w in windows() if w.start == 18_003 * DAY])
    learnt = sorted((w for w in before if not np.isnan(w.features[0])), key=lambda w: sample_hash(w.key, w.start))[:700]
    model = load(replace(PLAN, model=saved(run, tmp_path)), method_of(PLAN))
    scores = forest_scores(Forests(**model.arrays), np.array([w.features for w in learnt]))
    assert {v.threshold for v in judged} - {None} == {sorted(scores)[664]}  # ⌈0.95 · 700⌉ = 665


def test_fixed_days_are_judged_by_their_own_model() -> None:
    run, found, first, last = Run(), windows(), 18_006 * DAY, 18_009 * DAY
    for batch in cuts(found, 500):
        run.learn(batch)
    run.forest.fix(first, last)
    expected = fixed(PLAN, VIEW, SEED, found, first, last)
    assert [v for batch in cuts(found, 70) for v in run.judge(batch)] == expected
    assert sum(v.raw is not None for v in expected) == sum(w.start >= first and not np.isnan(w.features[0]) for w in found)
    assert run.judge(found[:1]) == [Verdict()]
    assert run.evidence.notes == ("no verdict: the model is for other days",)


@pytest.mark.parametrize(("first", "last"), [(18_004, 18_009), (18_006, 18_008)])
def test_days_that_are_not_all_held_cannot_be_fixed(first: int, last: int) -> None:
    run = Run()
    run.learn(windows())
    with pytest.raises(ValueError, match="not all"):
        run.forest.fix(first * DAY, last * DAY)


def test_a_saved_model_judges_all_windows(tmp_path: Path) -> None:
    run = Run()
    judged = run.judge(windows())
    version = run.evidence.version[-1]
    path = saved(run, tmp_path)
    other = Run(replace(PLAN, model=path), seed=1)
    found = other.judge(windows())
    last = [i for i, w in enumerate(windows()) if w.start == 18_008 * DAY]
    assert [found[i] for i in last] == [judged[i] for i in last]
    assert sum(v.raw is not None for v in found) == sum(not np.isnan(w.features[0]) for w in windows())
    assert set(other.evidence.version.tolist()) == {0, version}
    assert other.forest.model() == Path(path).read_bytes()
    assert not other.forest.snapshot(np.arange(0))


def test_files_that_are_no_model_for_it(tmp_path: Path) -> None:
    run = Run()
    run.judge(windows())
    path = saved(run, tmp_path)
    with pytest.raises(UserError, match=r"forest\.arrow: a model over the features a, b, not b, a"):
        Run(replace(PLAN, model=path, features=("b", "a")))
    state = tmp_path / "state"
    for data in (b"", b"nothing", encode({}, {}), Path(path).read_bytes()[:-1], bytes(1000)):
        state.write_bytes(data)
        with pytest.raises(UserError, match="state: not a model of population_forest"):
            Run(replace(PLAN, model=str(state)))
    with pytest.raises(UserError, match="elsewhere: the model cannot be read: No such file"):
        Run(replace(PLAN, model=str(tmp_path / "elsewhere")))


def test_a_version_names_what_was_learnt() -> None:
    def versions(found: list[Window], plan: PopulationPlan = PLAN, seed: int = SEED) -> tuple[dict[int, set[int]], bytes | None]:
        run = Run(plan, seed)
        run.judge(found)
        by_day: dict[int, set[int]] = {}
        for window, version in zip(found, run.evidence.version.tolist(), strict=True):
            by_day.setdefault(window.start // DAY, set()).add(version)
        return {day: of - {0} for day, of in by_day.items()}, run.forest.model()

    def every(found: dict[int, set[int]]) -> set[int]:
        return {version for of in found.values() for version in of}

    one, file = versions(windows())
    assert versions(windows()) == (one, file)
    assert [len(one[day]) for day in sorted(one)] == [0, 0, 1, 1, 1, 1, 1, 1]
    assert len(every(one)) == 6
    assert all(0 < version < 2**48 for version in every(one))
    changed = [replace(w, features=(50.0, 50.0)) if w.start == 18_003 * DAY else w for w in windows()]
    other, _ = versions(changed)
    assert [other[day] == one[day] for day in sorted(one)] == [True, True, True, True, False, False, False, True]  # up to day 7 it counts
    more, larger = (replace(PLAN, settings=(("sample", sample), ("trees", trees))) for sample, trees in ((64, 13), (65, 12)))
    for plan, seed in ((more, SEED), (larger, SEED), (PLAN, 0)):
        assert not every(versions(windows(), plan, seed)[0]) & every(one)


def evidence_of(run: Run, found: list[Window], chosen: list[int]) -> Evidence:
    run.judge(found)
    return run.forest.explain(np.array(chosen))


def test_evidence() -> None:
    found = windows()
    day = [i for i, w in enumerate(found) if w.start == 18_008 * DAY]
    chosen = [i for i in range(len(found)) if i % 3 == 0 or i in day]
    run = Run()
    evidence = evidence_of(run, found, chosen)
    starts, null = np.array([found[i].start for i in chosen]), np.array([np.isnan(found[i].features[0]) for i in chosen])
    silent = null | (starts < 18_002 * DAY)
    np.testing.assert_allclose(evidence.contributions.sum(axis=0)[~silent], 1 - 1 / evidence.raw[~silent], rtol=0, atol=1e-12)
    assert np.isnan(evidence.contributions[:, silent]).all()
    assert evidence.features == ("a", "b")
    few = "no verdict: {:,} rows without a null to learn from; at least 450 are needed"
    first = sum(w.start == 18_000 * DAY and not np.isnan(w.features[0]) for w in found)
    for note, start, whole in zip(evidence.notes, starts.tolist(), (~null).tolist(), strict=True):
        held = 0 if start == 18_000 * DAY else first
        assert note == ("no verdict: a feature is null" if not whole else few.format(held) if start < 18_002 * DAY else "")
    # What is odd: beyond three standard deviations of the rows that the last model learnt from.
    past = [w for w in found if 18_004 * DAY <= w.start < 18_008 * DAY and not np.isnan(w.features[0])]
    learnt = sorted(past, key=lambda w: (sample_hash(w.key, w.start), w.start))[:700]
    for p, i in enumerate(chosen):
        if i in day:
            odd = []
            for column in range(2 * (not null[p])):
                values = [w.features[column] for w in learnt]
                mean, width = fmean(values), 3 * stdev(values)
                x = found[i].features[column]
                # Counts and volumes, none of them below 0: neither is what is usual for them.
                odd += [(column, [x, mean, max(mean - width, 0.0), mean + width])] if abs(x - mean) > width else []
            at = slice(*evidence.out_of_range.offsets[p : p + 2].tolist())
            assert evidence.out_of_range.feature[at].tolist() == [column for column, _ in odd]
            shown = evidence.out_of_range.values[:, at].T.ravel().tolist()
            assert shown == pytest.approx([x for _, values in odd for x in values], rel=1e-12)
            told = [int(array[p]) for array in (evidence.window.from_ns, evidence.window.to_ns, evidence.window.n)]
            assert null[p] or told == [min(w.start for w in learnt), max(w.start for w in learnt), 700]
    assert len(evidence.out_of_range.feature) > 5


@pytest.mark.parametrize("features", [(3.0, -1.0), (nan, 2.0)])
def test_what_never_varied(features: tuple[float, float]) -> None:
    """Customers who are all alike: nobody is odd but the one who is not; a null is no value."""
    run = Run()
    same = [replace(w, features=features) for w in windows()]
    if any(isnan(value) for value in features):
        assert run.judge(same) == [Verdict()] * len(same)
        assert run.forest.untrained()
        assert run.forest.model() is None
    else:
        same[-1] = replace(same[-1], features=(features[0], features[1] + 1e-3))
        found = run.judge(same)
        assert found == rolling(PLAN, VIEW, SEED, same)
        assert [v.voted for v in found] == [False] * (len(same) - 1) + [True]
        assert found[-1].score == 1.0
    assert all(run.evidence.notes)


def test_a_saved_model_of_what_never_varied(tmp_path: Path) -> None:
    run = Run()
    run.judge([replace(w, features=(2.0, 5.0)) for w in windows()])
    file = tmp_path / "model.arrow"
    file.write_bytes(run.forest.model() or b"")
    given = Run(replace(PLAN, model=str(file)))
    here = windows()[0]
    found = given.judge([replace(here, features=(2.0, 5.0)), replace(here, features=(2.0, 6.0))])
    assert [(v.score, v.voted) for v in found] == [(0.0, False), (1.0, True)]


def test_a_restart_remembers_that_it_spoke() -> None:
    run = Run()
    first, second = "never trained, as every row had a null", "never trained, as no window had 450 rows without a null"
    assert first in run.forest.untrained()
    assert first in run.restarted().forest.untrained()
    run.judge([w for w in windows() if w.start < 18_002 * DAY])
    assert second in run.forest.untrained()
    assert second in run.restarted().forest.untrained()
    run.judge([w for w in windows() if w.start == 18_002 * DAY])
    assert run.forest.untrained() == run.restarted().forest.untrained() == ""


def test_huge_values_and_infinities() -> None:
    strange = (1.7e308, -1.7e308, 5e-324, np.inf, -np.inf, -0.0)
    found = [replace(w, features=(strange[i % 6], w.features[1])) if i % 5 == 0 else w for i, w in enumerate(windows())]
    judged = Run().judge(found)
    spoken = [v for w, v in zip(found, judged, strict=True) if w.start >= 18_002 * DAY and not np.isnan(w.features[0])]
    assert all(v.score is not None and 0 < v.score < 1 for v in spoken)


def test_scoring_changes_nothing() -> None:
    run = Run()
    run.judge([w for w in windows() if w.start < 18_006 * DAY])
    run.judge([w for w in windows() if w.start == 18_006 * DAY][:1])
    file = run.forest.model()
    model = run.forest._newest
    assert model is not None
    x, both, every = np.random.default_rng(1).lognormal(2, 1, (2, 900)), np.arange(2), np.arange(900)
    once = model.scorer.score(x, both, every)
    assert model.scorer.score(x, both, every).tobytes() == once.tobytes()
    assert [model.scorer.score(x, both, every[i : i + 1])[0] for i in range(0, 900, 50)] == once[::50].tolist()
    assert save(PLAN, model) == file


@pytest.mark.heavy
@pytest.mark.parametrize(("columns", "rows", "sample"), [(1, 2, 256), (3, 40, 256), (5, 900, 256), (4, 900, 100), (2, 900, 3), (3, 900, 2)])
def test_the_walk_by_rank_is_the_walk_by_value_to_the_bit(columns: int, rows: int, sample: int) -> None:
    random = np.random.default_rng(rows)
    table = np.round(random.standard_cauchy((rows, columns)), 1)  # many values stand on a threshold's neighbours
    one = np.ones(1, np.int64)
    grown = IsolationForest(columns, 30, sample)
    grown.grow(1)
    grown.train(Training(np.zeros(1, np.int32), one - 1, one * rows, table, one, np.array([7], np.uint64)))
    forest = grown.forest(0)
    cuts_of = forest.threshold[:, 1:][forest.threshold[:, 1:] < np.inf].astype(np.float64)
    asked = np.concatenate([table, 1e300 * table[:9], np.resize(cuts_of, (600, columns)), np.full((1, columns), -np.inf)])
    walked = packed(forest, columns)
    for n in (1, 511, 512, 513, len(asked)):
        part = np.resize(asked, (n, columns))
        found = path_scores(np.ascontiguousarray(by_row(part).T), *walked)
        assert found.tolist() == forest_scores(forest, part)


def test_memory_is_bounded() -> None:
    sample = PopulationSample(1, 50, 10 * DAY)
    keys = np.random.default_rng(2).integers(0, 2**63, 400).astype(np.uint64)
    slots, inputs = np.arange(400, dtype=np.int32), np.zeros(1, np.int64)
    held = []
    for day in range(120):
        sample.open(day * DAY)
        sample.add(np.arange(400.0)[None], inputs, np.arange(400), np.zeros(400), slots, keys)
        assert len(sample.before().hashes) == min(50, 50 * day)
        held.append(sum(array.nbytes for array in sample.snapshot().values()))
    # 50 of the newest day; of the day i days before it, those that are among the 50 lowest of i + 1 days: 50 · (1 + 1/2 + … + 1/10) = 146
    assert 32 * (50 + 90) < np.mean(held[20:]) < 32 * (50 + 200)
    assert max(held[60:]) < 1.3 * max(held[:60])


def by_population_forest(rows: F64, seed: int) -> F64:
    n, k = rows.shape
    of = (("sample", 256), ("trees", 100))
    plan = PopulationPlan("f", "population_forest", ("x",) * k, tuple(range(k)), of, 4 * DAY, 100_000, 2, 0.05, "")
    forest = Population(plan, method_of(plan), "v", seed)
    names, slots, start = [str(i) for i in range(n)], np.arange(n, dtype=np.int32), np.full(n, DAY)
    batch = DetectorInput(names, slots, start, np.ascontiguousarray(rows.T), np.zeros(n, np.int64))
    forest.learn(batch)
    forest.fix(DAY, 2 * DAY)
    forest.judge(batch)
    return forest.explain(np.arange(n)).raw


@needs_adbench
@pytest.mark.heavy
@pytest.mark.parametrize("name", ["18_Ionosphere", "38_thyroid"])
def test_as_good_as_scikit_learn(name: str) -> None:
    result = parity(name, ours=by_population_forest, seeds=15)
    assert abs(result.difference) <= result.allowed, result
