"""`early: true` only where the verdict on an open window cannot be undone by its further rows; elsewhere a sentence says why not [S22]."""

from __future__ import annotations

import pytest
from told import facts, tells

from offbeat.core.plan import RangePlan, RulePlan
from offbeat.spec.lint import lint, lint_text

PIPELINE = """\
name: p
source:
  key: who
  time: at
  columns:
    mb: {type: decimal, scale: 2, required: false}
    fee: {type: decimal, scale: 2}
    kind: text
    free: bool
quality:
  rules: {volume: mb >= 0, sane: fee < 100}
views:
  day:
    rollup:
      key: who
      size: 1d
      columns:
        n: count(*)
        some: nullif(count(mb), 0)
        hours: count(DISTINCT hour())
        total: sum(CASE WHEN kind = 'DATA' THEN mb END)
        fees: sum(fee)
        gifts: sum(free)
        top: max(fee)
        low: min(mb)
        usually: mean(mb)
        shifted: nullif(max(fee), 0)
    windows:
      before: {over: 7d, features: {past: mean(n), spread: std(n)}}
      with_it: {over: 7d, current: true, features: {now: mean(n)}}
    detectors:
      it: {DETECTOR}
"""


def found(detector: str) -> list[str]:
    return lint_text(PIPELINE.replace("{DETECTOR}", f"{{{detector}}}"), "p.yaml").problems


@pytest.mark.parametrize(
    "when",
    [
        "n > 10",
        "n >= past + 3 * spread",
        "10 < some",
        "hours > 5 AND (gifts > 2 OR total / 2 + n > 7)",
        "total > 100 AND past > 3",
        "top > 3",
        "n - past > 5",
    ],
)
def test_what_can_only_come_true(when: str) -> None:
    assert found(f"type: rule, early: true, when: '{when}'") == []


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("fees > 3", "`sum(fee)` may fall, as no quality rule says `fee >= 0`"),
        ("low > 3", "`min(mb)` may fall as rows come"),
        ("usually > 3", "`mean(mb)` may fall as rows come"),
        ("shifted > 3", "`max(fee)` may be negative, as no quality rule says `fee >= 0`"),
        ("n < 3", "`n` changes as rows come, and a limit must not"),
        ("n > total", "`total` changes as rows come, and a limit must not"),
        ("n > 2 * now", "`now` changes as rows come, as its window holds the row itself (`current: true`)"),
        ("n * total > 3", "`n * total` may fall as rows come"),
        ("n > 3 AND NOT n > 5", "`NOT n > 5` may stop holding"),
        ("n = 3", "`n = 3` may stop holding"),
        ("n * -1 > past", "`n * -1` may fall as rows come"),
        ("past - n > 1", "`past - n` may fall as rows come"),
    ],
)
def test_what_may_stop_holding(when: str, why: str) -> None:
    (problem,) = found(f"type: rule, early: true, when: '{when}'")
    assert tells(problem, f"p.yaml:32: views.day.detectors.it.when: `early` is only for values that can only rise: {why}")


def test_a_z_score() -> None:
    given = "type: zscore, early: true, limits: {VALUE: 3}, baseline: {VALUE: {mean: MEAN, std: spread}}"
    assert found(given.replace("VALUE", "n").replace("MEAN", "past")) == []
    assert found("type: zscore, early: true, over: 20 rows, limits: {n: 3, total: 3}") == []
    (problem,) = found(given.replace("VALUE", "n").replace("MEAN", "now"))
    assert "`now` changes as rows come" in problem
    (problem,) = found(given.replace("VALUE", "low").replace("MEAN", "past"))
    assert tells(problem, "p.yaml:32: views.day.detectors.it.baseline.low: `early` is for what rises: `min(mb)` may fall")


def test_rows_do_not_fire_early() -> None:
    text = PIPELINE.replace("{DETECTOR}", "{type: rule, when: n > 1}")
    for detector in ("{type: rule, early: true, when: mb > 1}", "{type: zscore, early: true, limits: {mb: 3}}"):
        problems = lint_text(f"{text}  row:\n    detectors:\n      it: {detector}\n", "p.yaml").problems
        assert [facts(problem) for problem in problems] == [
            facts("p.yaml:35: views.row.detectors.it.early: rows are scored at once; `early` is for windows of a rollup")
        ]


def test_call_records() -> None:
    """Counts, sums and maxima of volumes fire early; a ratio, and what lies below its baseline, do not."""
    plan = lint("cdr").plan
    assert plan is not None
    plain = [d for view in plan.views for d in view.detectors if isinstance(d, RulePlan | RangePlan)]
    assert {d.name: d.early for d in plain} == {
        "zscore": True, "zscore_all": True, "night_owls": True, "spike_ratio": False, "upper": True, "lower": False
    }  # fmt: skip
    for name in ("customer_day.spike_ratio", "region_hour.lower"):
        assert any("`early`" in problem for problem in lint("cdr", [f"{name}.early=true"]).problems)
