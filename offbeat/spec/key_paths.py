"""Walking along the keys of the pipeline's models: which keys exist at a place, and what a path leads to."""

from __future__ import annotations

from contextlib import suppress
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError

from offbeat.detectors.spec import DetectorSpec, Settings, detector_types
from offbeat.errors import UserError
from offbeat.spec.models import PipelineSpec, SourceSpec
from offbeat.spec.other_detectors import detector_spec
from offbeat.spec.sources import source_spec

ROOT: Any = PipelineSpec
"""The annotation of a whole pipeline."""


def plain(annotation: Any, value: Any = None) -> Any:
    """The annotation without wrappers: a model, `dict[…]`, `list[…]` or a simple type. `value` decides the kind of a detector."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0], value)
    options = [option for option in get_args(annotation) if option is not NoneType]
    if NoneType in get_args(annotation) and len(options) == 1:
        return plain(options[0], value)
    if annotation is DetectorSpec:
        kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        if isinstance(kind, str) and kind not in detector_types():
            with suppress(UserError):
                return detector_spec(kind)
        return detector_types().get(kind, DetectorSpec) if isinstance(kind, str) else DetectorSpec
    if annotation is SourceSpec:
        with suppress(ValidationError):
            return source_spec(SourceSpec, value)
    return annotation


def is_model(annotation: Any) -> bool:
    """Whether a plain annotation is a model with fixed keys."""
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def is_named(annotation: Any) -> bool:
    """Whether a plain annotation is a mapping with names of the user's choice."""
    return get_origin(annotation) is dict


def keys(annotation: Any, value: Any) -> list[str]:
    """Keys that are valid here: the fields of a model, or the names that the user gave."""
    if is_model(annotation):
        return list(annotation.model_fields)
    return [str(key) for key in value] if is_named(annotation) and isinstance(value, dict) else []


def child(annotation: Any, key: str, value: Any = None) -> Any:
    """The plain annotation under `key`, or None. `value` is what stands there."""
    if is_model(annotation):
        field = annotation.model_fields.get(key)
        if field is None:
            return None
        # pydantic moves what stands in Annotated out of the annotation, the kinds of a dict's values excepted.
        return plain(field.annotation, value)
    if is_named(annotation) or get_origin(annotation) is list:
        return plain(get_args(annotation)[-1], value)
    return None


def short_form(annotation: Any) -> str:
    """The field that a bare text stands for, or ''."""
    return annotation.short if isinstance(annotation, type) and issubclass(annotation, Settings) else ""
