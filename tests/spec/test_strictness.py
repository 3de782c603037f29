"""Stricter detectors: what a rule, a range and a model say then; and a pipeline's text with other values in it."""

from __future__ import annotations

import pytest

from offbeat.errors import UserError
from offbeat.spec.document import read_document
from offbeat.spec.load import load_text, pipeline_text
from offbeat.spec.strictness import scaled_rule
from offbeat.spec.yaml_edit import edited

RULES = [
    ("abs(close / previous_close - 1) > 0.005", 2.0, "abs(close / previous_close - 1) > 0.01"),
    ("volume > 1.02 * mean_volume", 10.0, "volume > 10.2 * mean_volume"),
    ("close > prev * 1.005", 1.01, "close > prev * 1.02"),
    ("total_mb > usual_mb + 3 * spread_mb", 1.5, "total_mb > 1.5 * (usual_mb + 3 * spread_mb)"),
    ("top * n > 5 * whole AND night <= 10", 3.0, "top * n > 15 * whole AND night <= 10"),
    ("calls < 0.5 * usual", 2.0, "calls < 0.25 * usual"),
    ("low > high", 2.0, "low > 2 * high"),
    ("10 < night", 2.0, "20 < night"),
    ("x > 1.23456", 1.0, "x > 1.23"),
    ("x > 0", 2.0, None),
    ("x > -5", 2.0, None),
    ("side = 'A'", 2.0, None),
    ("(top > 1 OR side = 'A') AND night > 10", 2.0, "(top > 1 OR side = 'A') AND night > 20"),
    ("top > 1 OR night > 10", 2.0, None),
    ("NOT top > 1", 2.0, None),
]


@pytest.mark.parametrize(("rule", "factor", "stricter"), RULES)
def test_a_stricter_rule(rule: str, factor: float, stricter: str | None) -> None:
    """What was 2 times over the limit is at the limit when it is scaled by 2."""
    assert scaled_rule(rule, factor) == stricter


TEXT = """\
# A comment that stays
name: p
source: {key: k, time: t, columns: {v: float}}
views:
  v:
    windows: {w: {over: 3 rows, features: {m: mean(v)}}}
    detectors:
      one: {type: rule, when: v > 2 * m}      # beside it
      two:
        type: zscore
        limits: {v: 3}
        over: 10 rows
      three: {type: isolation_forest, trees: 10}
      four:
        type: half_space_trees
"""


def test_values_in_the_text_of_a_file() -> None:
    at = ("views", "v", "detectors")
    changes = {
        (*at, "one", "when"): "v > 4.5 * m AND coalesce(v, 0) > 1",
        (*at, "two", "limits", "v"): 7.25,
        (*at, "three", "contamination"): 0.002,
        (*at, "four", "contamination"): 0.003,
        (*at, "two", "min_values"): 4,
    }
    text = edited(TEXT, changes)
    document = read_document(text)
    assert document.problems == []
    for path, value in changes.items():
        found = document.value
        for name in path:
            found = found[name]
        assert found == value
    assert len(text.splitlines()) == len(TEXT.splitlines()) + 2
    assert "# A comment that stays" in text
    assert "# beside it" in text
    load_text(text)
    assert edited(text, {(*at, "one", "when"): "v > 2 * m"}) != TEXT, "what was added stays"
    with pytest.raises(UserError, match="does not stand in the file"):
        edited(TEXT, {(*at, "five", "limit"): 1})


@pytest.mark.parametrize("name", ["bars", "trades", "cdr"])
def test_a_value_that_stays_changes_nothing(name: str) -> None:
    file, text = pipeline_text(name)
    spec = load_text(text, file).spec
    for view, own in spec.views.items():
        for detector, settings in own.detectors.items():
            when = getattr(settings, "when", None)
            if when is not None:
                assert load_text(edited(text, {("views", view, "detectors", detector, "when"): when})).plan == load_text(text).plan
