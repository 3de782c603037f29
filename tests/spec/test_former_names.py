"""Settings by the names they had in the version before: read to the same plan, each told with its place and its present name."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import offbeat
from offbeat.detectors.absence.absence_spec import AbsenceSpec
from offbeat.detectors.range.band_spec import BandSpec
from offbeat.detectors.range.quantile_spec import QuantileSpec
from offbeat.detectors.range.range_spec import RangeSpec
from offbeat.detectors.range.zscore_spec import ZScoreSpec
from offbeat.detectors.spec import Settings, detector_types
from offbeat.errors import SpecError
from offbeat.spec import models
from offbeat.spec.document import read_document
from offbeat.spec.lint import lint, lint_text
from offbeat.spec.load import load, load_plan, load_text
from offbeat.spec.models import ColumnSpec, PipelineSpec, RollupSpec, VoteSpec, WindowSpec
from offbeat.spec.reference import reference_page
from offbeat.spec.schema import pipeline_schema

TEMPLATE = """\
name: former
source:
  key: who
  time: {column: t, format: s, zone: Africa/Algiers}
  order: seq
  columns:
    seq: <decimal|fixed>
    mb: {type: <decimal|fixed>, scale: 2}
    price: float
    region: text
views:
  row:
    windows:
      recent: {over: 20 rows, <min_rows|at_least>: 4, features: {usual: mean(price), traded: sum(mb)}}
      minute: {over: 60s, <min_rows|at_least>: 2, features: {shortly: mean(price)}}
    detectors:
      far: {type: rule, when: price > 3 * usual + shortly + traded}
      steps: {type: zscore, over: 30 rows, <min_values|at_least>: 5, limits: {price: 2}}
      belt: {type: band, value: price, over: 30 rows, <min_values|at_least>: 6, width: 2}
      tails: {type: quantile, value: mb, over: 30 rows, <min_values|at_least>: 7}
      off: {type: zscore, enabled: false, <min_values|at_least>: 8, limits: {mb: 3}}
      trees: {type: isolation_forest, trees: 10, sample: 32, train_on: 60, retrain_every: 25, train_min: 40, contamination: 0.1}
    vote:
      <quorum|at_least>: 2
  who_day:
    rollup:
      key: who
      <size|every>: 1d
      columns: {total: sum(mb), n: count(*)}
    windows:
      past: {over: all, <min_rows|at_least>: 3, features: {mean_total: mean(total), std_total: std(total)}}
    detectors:
      big: {type: zscore, limits: {total: 3}, baseline: {total: {mean: mean_total, std: std_total}}}
      gone: {type: absence, <min_history|at_least>: 5}
  region_hour:
    rollup: {key: region, <size|every>: 1h, columns: {n: count(*)}}
    detectors:
      busy: {type: rule, when: n > 9}
"""
"""<present|former> name, wherever a former one can stand."""
CHOICE = re.compile(r"<(\w+)\|(\w+)>")
PLACES = len(CHOICE.findall(TEMPLATE))


def spelt(former: set[int]) -> str:
    """The pipeline with former names at these places."""
    count = iter(range(PLACES))
    return CHOICE.sub(lambda choice: choice[2 if next(count) in former else 1], TEMPLATE)


PRESENT, FORMER = spelt(set()), spelt(set(range(PLACES)))
PLAN = load_text(PRESENT, "p.yaml").plan
BOTH = "`at_least` is the former name of `quorum`, which is given too: remove `at_least`"


def said(old: str, new: str) -> str:
    return f"`{old}` is now called `{new}`; the old name is read in this version only"


# -- what it means ----------------------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.sets(st.integers(0, PLACES - 1)))
def test_any_mixture_of_names_is_the_same_plan(former: set[int]) -> None:
    assert load_text(spelt(former)).plan == PLAN


def test_hashes_are_those_of_the_version_before() -> None:
    """As commit c84497e, which knew the former names alone, printed them: a kept state goes on, and so does the plan of kept alerts."""
    for text in (FORMER, PRESENT):
        plan = load_text(text).plan
        assert (plan.plan_hash, plan.state_hash) == ("58a3b6f75cae6a4d66357b03c22ac1a6", "3d0c04f81a5db43939de99de8b50fea0")


def test_a_name_in_a_hash_is_not_taken_for_another() -> None:
    """A z-score over a column `at_least` is not one over a column `min_values`."""
    text = """
    name: p
    source: {key: k, time: t, columns: {at_least: float, min_values: float}}
    views: {v: {detectors: {z: {type: zscore, limits: {LIMITED: 3}}}}}
    """
    one, other = (load_text(text.replace("LIMITED", name)).plan for name in ("at_least", "min_values"))
    assert one.plan_hash != other.plan_hash


# -- files ------------------------------------------------------------------------------------------------------------------------------


def test_lint_names_every_line_and_the_present_name() -> None:
    found = lint_text(FORMER, "p.yaml")
    lines = [(number, *names) for number, line in enumerate(TEMPLATE.splitlines(), 1) for names in CHOICE.findall(line)]
    assert found.problems == []
    assert len(found.warnings) == PLACES
    for warning, (line, new, old) in zip(found.warnings, lines, strict=True):
        assert warning.startswith(f"p.yaml:{line}: ")
        assert warning.endswith(f": {said(old, new)}")


def test_a_run_says_each_name_once_with_its_lines() -> None:
    notes = load_text(FORMER, "p.yaml").plan.notes
    assert notes == (
        f"p.yaml:7, 8: {said('fixed', 'decimal')}",
        f"p.yaml:14, 15, 31: {said('at_least', 'min_rows')}",
        f"p.yaml:18, 19, 20, 21: {said('at_least', 'min_values')}",
        f"p.yaml:24: {said('at_least', 'quorum')}",
        f"p.yaml:28, 36: {said('every', 'size')}",
        f"p.yaml:34: {said('at_least', 'min_history')}",
    )
    assert PLAN.notes == ()


def test_many_places_are_counted() -> None:
    more = "".join(f"    c{i}: {{type: fixed, scale: 1}}\n" for i in range(20))
    text = PRESENT.replace("    price: float\n", more + "    price: float\n")
    places = "p.yaml:9, 10, 11, 12, … (20 places)"
    assert load_text(text, "p.yaml").plan.notes == (f"{places}: {said('fixed', 'decimal')}",)


@pytest.mark.parametrize(("both", "line"), [("quorum: 2\n      at_least: 2", 25), ("at_least: 3\n      quorum: 2", 24)])
def test_both_names_are_a_mistake_even_where_they_agree(both: str, line: int) -> None:
    found = lint_text(PRESENT.replace("quorum: 2", both), "p.yaml").problems
    assert found == [f"p.yaml:{line}: views.row.vote.at_least: {BOTH}"]


@pytest.mark.parametrize("place", [i for i, (new, _) in enumerate(CHOICE.findall(TEMPLATE)) if new != "decimal"])
def test_both_names_at_every_place(place: int) -> None:
    new, old = CHOICE.findall(TEMPLATE)[place]
    count = iter(range(PLACES))
    value = re.findall(r"<\w+\|\w+>(?:: (\w+))?", TEMPLATE)[place]
    text = CHOICE.sub(lambda choice: f"{old}: {value}, {new}" if next(count) == place else choice[1], TEMPLATE)
    text = text.replace(f"      {old}: {value}, {new}:", f"      {old}: {value}\n      {new}:")  # block style has no commas
    found = lint_text(text, "p.yaml").problems
    assert len(found) == 1
    assert f"`{old}` is the former name of `{new}`" in found[0]


def test_problems_go_by_present_names_and_say_which_these_are() -> None:
    with pytest.raises(SpecError) as caught:
        load_text(FORMER.replace("at_least: 4", "at_least: 0").replace("price > 3", "prize > 3"), "p.yaml")
    problems = caught.value.problems
    assert problems[0] == "p.yaml:14: views.row.windows.recent.min_rows: must be at least 1, not 0"
    assert problems[1].startswith("p.yaml:17: views.row.detectors.far.when: unknown column 'prize'")
    assert f"p.yaml:14: views.row.windows.recent.min_rows: {said('at_least', 'min_rows')}" in problems


@pytest.mark.parametrize(
    ("before", "after", "hint"),
    [
        ("far: {type: rule,", "far: {type: rule, at_least: 1,", "unknown key 'at_least'"),
        ("trees: {type: isolation_forest,", "trees: {type: isolation_forest, at_least: 1,", "unknown key 'at_least'"),
        ("over: all, min_rows: 3", "over: all, quorum: 3", "unknown key 'quorum'"),
        ("price: float", "price: {type: float, every: 1d}", "unknown key 'every'"),
        ("price: float", "price: fixd", "'fixd' is not valid"),
    ],
)
def test_elsewhere_they_are_unknown_as_ever(before: str, after: str, hint: str) -> None:
    assert before in PRESENT
    assert any(hint in problem for problem in lint_text(PRESENT.replace(before, after)).problems)


def test_names_of_the_users_own_are_left_alone() -> None:
    text = """
    name: every
    source: {key: fixed, time: every, columns: {at_least: float, fixed: decimal}}
    quality: {rules: {every: at_least > 0}}
    views:
      fixed:
        rollup: {key: fixed, size: 1d, columns: {every: sum(fixed)}}
        windows: {at_least: {over: 3 rows, min_rows: 1, features: {usual: mean(every)}}}
        detectors: {every: {type: zscore, limits: {usual: 3, every: 2}}}
        severity: {levels: {fixed: 0.5}}
    as_of: fixed
    """
    assert load_text(text).plan.notes == ()
    assert not any("called" in warning for warning in lint_text(text).warnings)


# -- mappings and objects in Python -----------------------------------------------------------------------------------------------------


def test_a_mapping_is_read_and_its_author_told_at_the_line_of_the_call() -> None:
    raw = read_document(FORMER).value
    with pytest.warns(DeprecationWarning, match="is now called") as caught:
        plan = load_plan(raw)
    assert plan == PLAN
    assert [str(warning.message) for warning in caught] == list(plan.notes)
    assert {warning.filename for warning in caught} == {__file__}
    assert f"views.row.vote.quorum: {said('at_least', 'quorum')}" in plan.notes
    assert raw == read_document(FORMER).value, "the caller's own mapping is left alone"


def test_both_names_in_a_mapping() -> None:
    raw = read_document(PRESENT).value
    raw["views"]["who_day"]["rollup"]["every"] = "1d"
    assert lint(raw).problems == [
        "views.who_day.rollup.every: `every` is the former name of `size`, which is given too: remove `every`"
    ]


class Made(NamedTuple):
    """How settings are made in Python by a former name and by the present one."""

    kind: type[Settings]
    rest: dict[str, Any]
    old: str
    new: str
    value: Any
    instead: Any = None

    @property
    def present(self) -> dict[str, Any]:
        return {self.new: self.value if self.instead is None else self.instead}


OBJECTS = [
    Made(ColumnSpec, {}, "type", "type", "fixed", "decimal"),
    Made(RollupSpec, {"key": {"column": "k"}, "columns": {"n": "count(*)"}}, "every", "size", "1d"),
    Made(WindowSpec, {"over": "9 rows", "features": {"m": "mean(x)"}}, "at_least", "min_rows", 4),
    Made(VoteSpec, {}, "at_least", "quorum", 2),
    Made(ZScoreSpec, {"limits": {"x": 3.0}}, "at_least", "min_values", 9),
    Made(BandSpec, {"value": "x"}, "at_least", "min_values", 9),
    Made(QuantileSpec, {"value": "x"}, "at_least", "min_values", 9),
    Made(AbsenceSpec, {}, "at_least", "min_history", 20),
]


@pytest.mark.parametrize("made", OBJECTS, ids=lambda made: made.kind.__name__)
@pytest.mark.parametrize("way", [lambda kind, settings: kind(**settings), lambda kind, settings: kind.model_validate(settings)])
def test_objects_take_former_names(made: Made, way: Callable[[Any, dict[str, Any]], Settings]) -> None:
    with pytest.warns(DeprecationWarning, match="is now called") as caught:
        found = way(made.kind, {**made.rest, made.old: made.value})
    assert found == made.kind(**made.rest, **made.present)
    old, new = (made.value, made.instead) if made.old == made.new else (made.old, made.new)
    assert [str(warning.message) for warning in caught] == [f"{made.kind.__name__}: {said(old, new)}"]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("made", [made for made in OBJECTS if made.old != made.new], ids=lambda made: made.kind.__name__)
def test_objects_refuse_both_names(made: Made) -> None:
    with pytest.raises(ValidationError, match=f"`{made.old}` and `{made.new}` are one setting"):
        made.kind(**made.rest, **{made.old: made.value}, **made.present)


def test_a_pipeline_of_objects_is_the_same_plan() -> None:
    with pytest.warns(DeprecationWarning, match="is now called") as caught:
        spec = PipelineSpec.model_validate(read_document(FORMER).value)
    assert len(caught) == PLACES
    assert load(spec).plan == PLAN
    assert spec == load_text(PRESENT).spec


def test_no_former_name_is_untested() -> None:
    own = [kind for kind in vars(models).values() if isinstance(kind, type) and issubclass(kind, Settings)]
    kinds = {kind for kind in (*own, *detector_types().values()) if kind.former or kind.former_values}
    assert kinds == {made.kind for made in OBJECTS}
    assert [issubclass(kind, RangeSpec) for kind in detector_types().values()].count(True) == 3


# -- --set ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("former", "present", "old", "new"),
    [
        ("row.vote.at_least=3", "row.vote.quorum=3", "at_least", "quorum"),
        ("views.row.vote.at_least=3", "row.vote.quorum=3", "at_least", "quorum"),
        ("row.vote={at_least: 3}", "row.vote={quorum: 3}", "at_least", "quorum"),
        ("row.recent.at_least=9", "row.recent.min_rows=9", "at_least", "min_rows"),
        ("row.steps.at_least=9", "row.steps.min_values=9", "at_least", "min_values"),
        ("row.belt.at_least=9", "row.belt.min_values=9", "at_least", "min_values"),
        ("row.tails.at_least=9", "row.tails.min_values=9", "at_least", "min_values"),
        ("row.off.at_least=9", "row.off.min_values=9", "at_least", "min_values"),
        ("row.steps={type: band, value: mb, at_least: 9}", "row.steps={type: band, value: mb, min_values: 9}", "at_least", "min_values"),
        ("who_day.gone.at_least=9", "who_day.gone.min_history=9", "at_least", "min_history"),
        ("who_day.rollup.every=2d", "who_day.rollup.size=2d", "every", "size"),
        ("source.columns.price=fixed", "source.columns.price=decimal", "fixed", "decimal"),
        ("source.columns.price.type=fixed", "source.columns.price.type=decimal", "fixed", "decimal"),
        ("source.columns.price={type: fixed, scale: 4}", "source.columns.price={type: decimal, scale: 4}", "fixed", "decimal"),
    ],
)  # fmt: skip
def test_set(former: str, present: str, old: str, new: str) -> None:
    expected = load_text(PRESENT, "p.yaml", [present]).plan
    assert expected != PLAN or former.startswith("row.off.")
    plan = load_text(PRESENT, "p.yaml", [former]).plan
    assert plan == expected
    assert [note.removeprefix(f"--set {former}: ") for note in plan.notes] == [said(old, new)]
    assert plan.notes[0].startswith("--set ")
    # A value of the file by its former name gives way to one by the present name, and the other way round; the file's own are told too.
    for override in (former, present):
        plan = load_text(FORMER, "p.yaml", [override]).plan
        assert plan == expected
        assert all(note.startswith("p.yaml:") for note in plan.notes if "--set" not in note)


def test_the_last_of_several_wins_by_whatever_name() -> None:
    names = ["row.vote.at_least=4", "row.vote.quorum=3", "row.vote.at_least=5"]
    for last in range(1, 4):
        assert load_text(PRESENT, "p.yaml", names[:last]).plan.views[0].quorum == [4, 3, 5][last - 1]


def test_both_names_in_one_value() -> None:
    override = "row.vote={at_least: 2, quorum: 2}"
    with pytest.raises(SpecError) as caught:
        load_text(PRESENT, "p.yaml", [override])
    assert caught.value.problems == [
        f"--set {override}: views.row.vote.at_least: {BOTH}"
    ]


def test_a_wrong_value_by_a_former_path_names_the_override() -> None:
    with pytest.raises(SpecError) as caught:
        load_plan("bars", ["bar.ten_minutes.at_least=0"])
    assert caught.value.problems[0] == (
        "--set bar.ten_minutes.at_least=0: views.bar.windows.ten_minutes.min_rows: must be at least 1, not 0"
    )


# -- what is shown ----------------------------------------------------------------------------------------------------------------------


def test_schema_and_reference_show_present_names_alone() -> None:
    definitions = pipeline_schema()["$defs"]
    for made in OBJECTS:
        shown = definitions[made.kind.__name__]
        properties = (shown.get("anyOf", [shown])[-1])["properties"]
        assert made.new in properties
        assert made.old == made.new or made.old not in properties
    assert "fixed" not in str(definitions["ColumnSpec"])
    page = reference_page()
    assert not re.search(r"`at_least`|`every`", page)
    assert [line for line in page.splitlines() if "`fixed`" in line and "| `mode` |" not in line and "| `date` |" not in line] == []
    validator: Any = import_module("jsonschema").Draft202012Validator(pipeline_schema())
    assert list(validator.iter_errors(read_document(PRESENT).value)) == []
    assert len(list(validator.iter_errors(read_document(FORMER).value))) > 0


def test_every_shipped_pipeline_and_example_goes_by_present_names() -> None:
    for name in ("bars", "trades", "cdr"):
        assert load_plan(name).notes == ()


def test_the_notes_reach_the_result_of_a_run() -> None:
    polars: Any = import_module("polars")
    frame = polars.DataFrame({"k": ["a"] * 4, "t": [1_700_000_000 + i for i in range(4)], "v": [1.0, 2.0, 3.0, 9.0]})
    raw = {
        "name": "p",
        "source": {"key": "k", "time": {"column": "t", "format": "s"}, "columns": {"v": "float"}},
        "views": {"v": {"detectors": {"r": {"type": "rule", "when": "v > 8"}}, "vote": {"at_least": 1}}},
    }
    with pytest.warns(DeprecationWarning, match="is now called") as caught:
        result = offbeat.run(raw, frame)
    assert result.notes[0] == f"views.v.vote.quorum: {said('at_least', 'quorum')}"
    assert (result.alerts.height, caught[0].filename) == (1, __file__)


def test_the_template_has_what_it_says() -> None:
    assert PLACES == 13
    assert not CHOICE.search(PRESENT + FORMER)
