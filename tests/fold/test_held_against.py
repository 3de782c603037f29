"""Which window each detector of a view is held against, from the pipeline's text."""

from __future__ import annotations

from offbeat.core.plan import ViewPlan
from offbeat.fold.held_against import evidence_window, held_against
from offbeat.spec.lint import lint_text

ROWS = """
name: made
source:
  key: {column: k}
  time: {column: t}
  columns: {x: float, y: float}
views:
  v:
    windows:
      short: {over: 5s, features: {a: mean(x), b: std(x)}}
      long: {over: 1h, features: {c: mean(y)}}
      rows: {over: 900 rows, features: {d: max(x)}}
    detectors:
      alone: {type: rule, when: x > 3 OR y IS NULL}
      one: {type: rule, when: x > a}
      expected: {type: rule, when: x > 5, expected: d}
      condition: {type: rule, when: x > 5 AND d > 1 AND a > 1}
      both: {type: rule, when: x > CASE WHEN d > 1 THEN a ELSE c END}
      value: {type: zscore, limits: {c: 3}, baseline: {c: {mean: a, std: b}}}
      columns: {type: zscore, limits: {x: 3}, baseline: {x: {mean: y, std: 2}}}
      own: {type: band, value: a, over: 7 rows}
      mixed: {type: zscore, over: 40 rows, limits: {x: 3, y: 2}, baseline: {y: {mean: d, std: 1}}}
      trained: {type: isolation_forest, features: [a, c]}
"""
PAST = """
name: made
source:
  key: {column: k}
  time: {column: t}
  columns: {x: {type: decimal, scale: 0}}
views:
  v:
    rollup: {key: k, size: 1d, columns: {n: count(*)}}
    windows:
      month: {over: 30d, features: {few: min(n)}}
      past: {over: all, lag: 7d, features: {usual: mean(n), spread: std(n)}}
    detectors:
      z: {type: zscore, limits: {n: 3}, baseline: {n: {mean: usual, std: spread}}}
      less: {type: rule, when: n < few}
      gone: {type: absence}
"""


def view(text: str) -> ViewPlan:
    found = lint_text(text)
    assert found.plan is not None, found.problems
    return found.plan.views[0]


def test_of_rows() -> None:
    """Windows 0 to 2 are the view's, 3 and 4 those of `own` and `mixed`. An hour reaches further than any number of rows."""
    plan = view(ROWS)
    expected = {"alone": -1, "one": 0, "expected": 2, "condition": 0, "both": 1}
    expected |= {"value": 0, "columns": -1, "own": 3, "mixed": 2, "trained": -1}
    assert dict(zip([d.name for d in plan.detectors], held_against(plan), strict=True)) == expected
    assert evidence_window(plan) == 1


def test_all_of_the_past_reaches_furthest() -> None:
    plan = view(PAST)
    assert held_against(plan) == (1, 0, -1)
    assert evidence_window(plan) == 1
