"""`--set view.detector.param=value`."""

from __future__ import annotations

import pytest

from offbeat.core.plan import Plan, RulePlan
from offbeat.errors import SpecError
from offbeat.spec.load import load, load_plan


def problems(*overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_plan("bars", overrides)
    return caught.value.problems


def rule_texts(plan: Plan) -> list[str]:
    return [rule.text for rule in plan.views[0].detectors if isinstance(rule, RulePlan)]


def test_a_detectors_parameter() -> None:
    plan = load_plan("bars", ["bar.price_jump.when=abs(close / previous_close - 1) > 0.01"])
    assert rule_texts(plan) == ["abs(close / previous_close - 1) > 0.01", "volume > 1.02 * mean_volume"]
    assert plan.state_hash == load_plan("bars").state_hash


def test_several_and_the_last_one_wins() -> None:
    plan = load_plan("bars", ["quality.lateness=5s", "source.time.zone=UTC", "quality.lateness=7s", "bar.ten_minutes.min_rows=3"])
    assert (plan.quality.lateness_ns, plan.source.time.zone, plan.views[0].windows[1].min_rows) == (7_000_000_000, "UTC", 3)


@pytest.mark.parametrize(
    "override",
    ["bar.vote.quorum=2", "views.bar.vote.quorum=2", "bar.vote={quorum: 2}", " bar.vote.quorum = 2 "],
)
def test_a_key_that_the_file_leaves_out(override: str) -> None:
    assert load_plan("bars", [override]).views[0].quorum == 2


def test_values_are_yaml() -> None:
    assert load_plan("bars", ["quality.unique=[]"]).quality.unique == ()
    assert load_plan("bars", ["quality.calendar=null"]).quality.calendar == ""
    assert load_plan("bars", ["bar.severity.levels={bad: 0.5}"]).views[0].levels == (("bad", 0.5),)
    assert load_plan("bars", ["source.separator=;"]).source.separator == ";"
    assert load_plan("bars", ["bar.price_jump.expected=1"]).plan_hash != load_plan("bars").plan_hash


def test_the_short_form_gives_way() -> None:
    raw = {
        "name": "p",
        "source": {"key": "symbol", "time": "ts", "columns": {"price": "decimal"}},
        "views": {"v": {"detectors": {"d": {"type": "rule", "when": "price > 1"}}}},
    }
    plan = load_plan(raw, ["source.columns.price.scale=4", "source.time.zone=Asia/Kolkata"])
    assert (plan.source.columns[0].scale, plan.source.time.headers, plan.source.time.zone) == (4, ("ts",), "Asia/Kolkata")
    assert raw["source"] == {"key": "symbol", "time": "ts", "columns": {"price": "decimal"}}, "the caller's own dict is left alone"


def test_overrides_of_typed_objects() -> None:
    assert load_plan(load("bars").spec, ["quality.lateness=1s"]).quality.lateness_ns == 1_000_000_000


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("quality.lateness", "write it as view.detector.param=value"),
        ("=5", "write it as view.detector.param=value"),
        ("bar..when=1", "write it as view.detector.param=value"),
        ("bra.price_jump.when=1", "unknown path 'bra'; did you mean 'bar'?"),
        ("bar.price_jmp.when=1", "unknown path 'bar.price_jmp'; did you mean 'price_jump'?"),
        ("bar.price_jump.wen=1", "unknown path 'views.bar.detectors.price_jump.wen'; did you mean 'when'?"),
        ("bar.ten_minutes.features.mean=1", "unknown path 'views.bar.windows.ten_minutes.features.mean'; did you mean 'mean_volume'?"),
        ("quality.latenes=5s", "unknown path 'quality.latenes'; did you mean 'lateness'?"),
        ("quality.lateness.s=5", "'quality.lateness' has no parts"),
        ("source.columns.clos.type=float", "unknown path 'source.columns.clos'; did you mean 'close'?"),
        ("quality.unique=[time", "not valid YAML"),
    ],
)
def test_wrong_paths(override: str, said: str) -> None:
    found = problems(override)
    assert len(found) == 1
    assert found[0].startswith(f"--set {override}: ")
    assert said in found[0]


def test_a_wrong_value_names_the_override_not_a_line() -> None:
    assert problems("quality.lateness=soon")[0].startswith("--set quality.lateness=soon: quality.lateness: 'soon' is not a duration")
    assert problems("bar.price_jump.when=clsoe > 1") == [
        "--set bar.price_jump.when=clsoe > 1: views.bar.detectors.price_jump.when: unknown column 'clsoe'; did you mean 'close'?"
    ]


def test_a_consequence_elsewhere_names_the_line() -> None:
    assert problems("bar.ten_minutes.features={other: sum(volume)}") == [
        "bars.yaml:46: views.bar.detectors.volume_surge.when: unknown column 'mean_volume'; did you mean 'volume'?",
        "bars.yaml:47: views.bar.detectors.volume_surge.expected: unknown column 'mean_volume'; did you mean 'volume'?",
    ]
