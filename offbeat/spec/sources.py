"""The keys of `source` where another package's class gives the rows: those of every source, and the settings of that class."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, cast

from pydantic import ValidationError, create_model
from pydantic_core import InitErrorDetails, PydanticCustomError

from offbeat.core.extensions import SOURCES, find, settings_of
from offbeat.detectors.spec import Settings
from offbeat.errors import UserError

Spec = TypeVar("Spec", bound=Settings)


def source_spec(every: type[Spec], value: Any) -> type[Spec]:
    """The model of a `source` mapping: `every` (the keys of all sources), with the settings of the class that its `type` names.

    Raises ValidationError, at `type`, where there is no such class.
    """
    name = value.get("type") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        return every
    try:
        return _combined(every, name, settings_of(SOURCES, name, find(SOURCES, name), Settings))
    except UserError as error:
        wrong = PydanticCustomError("source_type", "{message}", {"message": str(error)})
        raise ValidationError.from_exception_data("source", [InitErrorDetails(type=wrong, loc=("type",), input=name)]) from error


@cache
def _combined(every: type[Spec], name: str, settings: type[Settings]) -> type[Spec]:
    taken = [field for field in settings.model_fields if field in every.model_fields]
    if taken:
        raise UserError(f"source {name}: its setting {taken[0]!r} has the name of a key that every source has: rename it")
    combined: Any = create_model(settings.__name__, __base__=cast("Any", (settings, every)), __doc__=settings.__doc__)
    return cast("type[Spec]", combined)


def own_settings(name: str, spec: Settings) -> Settings:
    """The settings of the class alone, out of a `source` of the model that `source_spec` gave."""
    model = settings_of(SOURCES, name, find(SOURCES, name), Settings)
    return model.model_validate({field: getattr(spec, field) for field in model.model_fields})
