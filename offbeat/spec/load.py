"""From a pipeline in any form to its Plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from offbeat.core.plan import Plan
from offbeat.detectors.former_names import warn
from offbeat.errors import SpecError, UserError
from offbeat.spec.compile import make_plan
from offbeat.spec.document import Path as KeyPath
from offbeat.spec.document import read_document
from offbeat.spec.empty_windows import missed
from offbeat.spec.former import FormerNames
from offbeat.spec.key_paths import ROOT, child, is_model
from offbeat.spec.models import PipelineSpec
from offbeat.spec.nearest import nearest
from offbeat.spec.override import apply_overrides
from offbeat.spec.problems import Problems

Pipeline = str | Path | dict[str, Any] | PipelineSpec
"""A shipped name, a YAML file, a mapping, or typed objects."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline and its Plan."""

    spec: PipelineSpec
    plan: Plan
    notes: Problems
    """Former names in it; knows file and lines, so that more notes can be added."""
    former: tuple[str, ...] = ()
    """The former names for people who run it."""


def load_plan(pipeline: Pipeline, overrides: Sequence[str] = ()) -> Plan:
    """Read a pipeline, check it, and compile it.

    `pipeline` is the name of a shipped pipeline (`bars`), the path of a YAML file, a dict, or a `PipelineSpec`; `overrides` are texts
    `view.detector.param=value`. Raises SpecError with every problem found, one line each.
    """
    return load(pipeline, overrides).plan


def plan_of_alerts(names: Sequence[str], place: str, pipeline: str | None, overrides: Sequence[str] = ()) -> Plan:
    """The pipeline of the alerts in a place, which are of pipelines `names`: `pipeline` (a shipped name or a file), else the shipped one.

    Raises UserError where it is not at hand, or is not the only one.
    """
    if pipeline is not None:
        plan = load_plan(pipeline, overrides)
        if plan.name not in names:
            others = f"; it has those of {', '.join(names)}" if names else ""
            raise UserError(f"{place} has no alerts of pipeline {plan.name!r}{others}")
        return plan
    if not names:
        raise UserError(f"{place} has no alerts")
    if len(names) > 1:
        raise UserError(f"{place} has alerts of pipelines {', '.join(names)}; name one with --pipeline")
    (name,) = names
    if name not in shipped():
        raise UserError(f"the alerts in {place} are of pipeline {name!r}, which is not shipped: name its file with --pipeline FILE.yaml")
    return load_plan(name, overrides)


def load(pipeline: Pipeline, overrides: Sequence[str] = ()) -> Loaded:
    """As `load_plan`, with the typed objects besides. Raises SpecError."""
    if isinstance(pipeline, str | Path):
        file, text = pipeline_text(pipeline)
        return load_text(text, file, overrides)
    if isinstance(pipeline, PipelineSpec):
        return _checked(pipeline.model_dump(mode="json", exclude_none=True), Problems(), overrides)
    loaded = _checked(pipeline, Problems(), overrides)
    warn(loaded.former)
    return loaded


def load_text(text: str, file: str = "pipeline", overrides: Sequence[str] = ()) -> Loaded:
    """As `load`, from the text of a YAML file that is called `file` in messages. Raises SpecError."""
    document = read_document(text)
    problems = Problems(file, document.lines)
    for path, line, message in document.problems:
        problems.add(path, message, line)
    if document.value is None and problems:
        raise SpecError(problems.listed())
    return _checked(document.value, problems, overrides)


def shipped() -> list[str]:
    """Names of the pipelines that come with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in files("offbeat.pipelines").iterdir() if entry.name.endswith(".yaml"))


def pipeline_text(pipeline: str | Path) -> tuple[str, str]:
    """What a pipeline's file is called in messages, and its text. Raises SpecError where there is none."""
    if isinstance(pipeline, str) and pipeline in shipped():
        return f"{pipeline}.yaml", files("offbeat.pipelines").joinpath(f"{pipeline}.yaml").read_text(encoding="utf-8")
    path = Path(pipeline)
    try:
        return str(pipeline), path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        hint = nearest(str(pipeline), shipped()) if path.suffix == "" and len(path.parts) == 1 else ""
        raise SpecError([f"{pipeline}: no such pipeline file" + hint.replace("valid here", "shipped pipelines")]) from None
    except IsADirectoryError:
        raise SpecError([f"{pipeline}: a pipeline is a YAML file, but this is a folder"]) from None
    except UnicodeDecodeError:
        raise SpecError([f"{pipeline}: not a UTF-8 text file"]) from None
    except (OSError, ValueError) as error:
        raise SpecError([f"{pipeline}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None


def _checked(raw: Any, problems: Problems, overrides: Sequence[str]) -> Loaded:
    if not isinstance(raw, dict):
        problems.add((), "a pipeline is a mapping with name, source and views", 1)
        raise SpecError(problems.listed())
    former = FormerNames(problems)
    raw = apply_overrides(former.replaced(raw), overrides, problems, former)
    spec = _validated(raw, problems)
    plan = None if spec is None else make_plan(spec, problems)
    if spec is None or plan is None or problems:
        # Problems use present names, so notes tell users of former names which these are.
        raise SpecError([*problems.listed(), *former.notes.listed()])
    notes = [f"{'.'.join(at)}: {said}" for at, said in missed(spec, plan)]
    return Loaded(spec, replace(plan, notes=(*former.summary(), *notes)), former.notes, former.summary())


def _validated(raw: dict[str, Any], problems: Problems) -> PipelineSpec | None:
    try:
        return PipelineSpec.model_validate(raw)
    except ValidationError as error:
        paths = problems.add_validation(error, raw)
    # A misspelt key must not hide mistakes elsewhere, so the rest is checked without it.
    for path in paths:
        raw = _without(raw, ROOT, path)
    try:
        return PipelineSpec.model_validate(raw)
    except ValidationError:
        return None


def _without(value: Any, annotation: Any, path: KeyPath) -> Any:
    """`value` without a setting of a model; whatever has a name of the user's choice stays, as others may refer to it."""
    if not path or not isinstance(value, dict) or path[0] not in value:
        return value
    key, rest = path[0], path[1:]
    if not rest:
        return {other: inner for other, inner in value.items() if other != key} if is_model(annotation) else value
    return {**value, key: _without(value[key], child(annotation, key, value[key]), rest)}
