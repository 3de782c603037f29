"""What is written from the models agrees with them: JSON schema, reference page, examples in the docs."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fenced import write_modules
from folders import ROOT

from offbeat.detectors.spec import Settings, detector_types
from offbeat.spec import models
from offbeat.spec.document import read_document
from offbeat.spec.functions import AGGREGATES, SCALARS
from offbeat.spec.lint import lint_text
from offbeat.spec.reference import reference_page
from offbeat.spec.schema import pipeline_schema

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```yaml[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    pytest.param(page, text, id=f"{page.name}-{place}")
    for page in PAGES
    for place, text in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    if re.match(r"(#[^\n]*\n)*name:", text)
]


def test_the_reference_page_is_up_to_date() -> None:
    committed = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert committed == reference_page(), "run: python -m offbeat.spec.reference > docs/reference.md"


def all_settings() -> list[type[Settings]]:
    own = [kind for kind in vars(models).values() if isinstance(kind, type) and issubclass(kind, Settings)]
    return [kind for kind in (*own, *detector_types().values()) if kind is not Settings]


def test_every_key_and_function_is_on_the_page() -> None:
    page = reference_page()
    for kind in all_settings():
        for name, field in kind.model_fields.items():
            assert f"| `{name}` |" in page
            assert field.description or name == "type", f"{kind.__name__}.{name} has no description"
    for usage in (*(spec.usage for spec in SCALARS.values()), *(spec.usage for spec in AGGREGATES.values())):
        assert f"| `{usage}` |" in page


@pytest.mark.parametrize(("page", "text"), EXAMPLES)
def test_examples_in_the_docs_are_right(page: Path, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for module in write_modules(page, tmp_path):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert lint_text(text, page.name).problems == []


def test_the_schema_is_one_and_takes_the_shipped_pipelines() -> None:
    validator: Any = import_module("jsonschema").Draft202012Validator
    schema = pipeline_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    validator.check_schema(schema)
    for path in (ROOT / "offbeat" / "pipelines").glob("*.yaml"):
        assert [error.message for error in validator(schema).iter_errors(read_document(path.read_text()).value)] == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("lateness: 0s", "lateness: 0"),
        ("lateness: 0s", "lateness: 5 minutes"),
        ("lateness: 0s", "latenes: 0s"),
        ("type: rule", "type: rul"),
        ("type: rule", "expected: 0"),
        ("min_rows: 5", "min_rows: 0"),
        ("over: 10 cadences", "over: 0 rows"),
        ("type: float", "type: flaot"),
        ("name: bars", "title: bars"),
    ],
)
def test_the_schema_refuses(before: str, after: str) -> None:
    validator: Any = import_module("jsonschema").Draft202012Validator
    text = (ROOT / "offbeat" / "pipelines" / "bars.yaml").read_text().replace(before, after, 1)
    assert list(validator(pipeline_schema()).iter_errors(read_document(text).value))


def test_the_schema_takes_short_forms() -> None:
    validator: Any = import_module("jsonschema").Draft202012Validator
    text = """
    name: p
    source: {key: symbol, time: ts, columns: {price: float}}
    views: {v: {rollup: {key: {constant: all}, size: 1d, columns: {n: count(*)}}, detectors: {d: {type: rule, when: n > 1, expected: 0}}}}
    """
    assert lint_text(text).problems == []
    assert list(validator(pipeline_schema()).iter_errors(read_document(text).value)) == []


def test_every_detector_has_a_type_of_its_own() -> None:
    assert "rule" in detector_types()
    for name, kind in detector_types().items():
        assert kind.model_fields["type"].default == name
        assert kind.__module__.startswith("offbeat.detectors.")
