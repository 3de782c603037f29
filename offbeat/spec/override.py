"""`--set view.detector.param=value`: changing one value of a pipeline from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offbeat.spec.document import Path, read_scalar
from offbeat.spec.former import FormerNames
from offbeat.spec.key_paths import ROOT, child, is_model, is_named, keys, short_form
from offbeat.spec.models import PipelineSpec, ViewSpec
from offbeat.spec.nearest import nearest
from offbeat.spec.problems import Problems


def apply_overrides(raw: Any, overrides: Sequence[str], problems: Problems, former: FormerNames) -> Any:
    """A copy of the pipeline's mapping with the overrides in it; an unknown path is noted as a problem. All in present names."""
    for override in overrides:
        path_text, equals, value_text = override.partition("=")
        path = tuple(part.strip() for part in path_text.strip().split("."))
        if not equals or not all(path):
            problems.add_override(override, "write it as view.detector.param=value")
            continue
        try:
            value = read_scalar(value_text)
            full = former.present_path(_full_path(path, raw), raw, override)
            raw = _replaced(raw, ROOT, full, value)
        except (ValueError, LookupError) as error:
            problems.add_override(override, str(error.args[0]))
            continue
        problems.overrides[full] = override
        raw = former.replaced(raw)
    return raw


def _full_path(path: Path, raw: Any) -> Path:
    """`bar.price_jump.when` → `views.bar.detectors.price_jump.when`; paths from the top of the file are also understood."""
    if path[0] in PipelineSpec.model_fields:
        return path
    views = raw.get("views") if isinstance(raw, dict) else None
    if not isinstance(views, dict) or path[0] not in views:
        known = [*(views if isinstance(views, dict) else ()), *PipelineSpec.model_fields]
        raise LookupError(f"unknown path {path[0]!r}{nearest(path[0], known)}")
    view, rest = path[0], path[1:]
    if not rest or rest[0] in ViewSpec.model_fields:
        return ("views", *path)
    places: dict[str, str] = {}
    if isinstance(views[view], dict):
        for kind in ("windows", "detectors"):
            inner = views[view].get(kind)
            places |= dict.fromkeys(inner, kind) if isinstance(inner, dict) else {}
    if rest[0] not in places:
        raise LookupError(f"unknown path {'.'.join(path[:2])!r}{nearest(rest[0], [*places, *ViewSpec.model_fields])}")
    return ("views", view, places[rest[0]], *rest)


def _replaced(value: Any, annotation: Any, path: Path, new: Any, done: Path = ()) -> Any:
    if not path:
        return new
    key = path[0]
    if isinstance(value, str) and (short := short_form(annotation)):
        value = {short: value}
    if not (is_model(annotation) or is_named(annotation)):
        raise LookupError(f"{'.'.join(done)!r} has no parts")
    inside = dict(value) if isinstance(value, dict) else {}
    valid = keys(annotation, inside)
    if key not in valid:
        raise LookupError(f"unknown path {'.'.join((*done, key))!r}{nearest(key, valid)}")
    inside[key] = _replaced(inside.get(key), child(annotation, key, inside.get(key)), path[1:], new, (*done, key))
    return inside
