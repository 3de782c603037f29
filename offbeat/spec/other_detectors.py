"""A detector whose `type` names a class of another package: its settings are typed by the class itself."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pydantic import SerializationInfo, SerializerFunctionWrapHandler, ValidationError, ValidatorFunctionWrapHandler
from pydantic_core import InitErrorDetails, PydanticCustomError

from offbeat.core.extensions import DETECTORS, find, installed, settings_of
from offbeat.detectors.spec import DetectorSpec, detector_types
from offbeat.errors import UserError


def of_another_package(value: Any, own: ValidatorFunctionWrapHandler) -> DetectorSpec:
    """The settings of a detector: ours by `own`; those of a class that `type` names by the class's `settings`.

    Raises ValidationError, at `type`, where there is no such class.
    """
    name = value.get("type") if isinstance(value, dict) else None
    if not isinstance(name, str) or name in detector_types() or not (":" in name or name in installed(DETECTORS)):
        found: DetectorSpec = own(value)
        return found
    try:
        model = detector_spec(name)
    except UserError as error:
        wrong = PydanticCustomError("detector_type", "{message}", {"message": str(error)})
        raise ValidationError.from_exception_data("detector", [InitErrorDetails(type=wrong, loc=("type",), input=name)]) from error
    return model.model_validate(value)


def detector_spec(name: str) -> type[DetectorSpec]:
    """The model of the settings of another package's detector. Raises UserError where there is no such class, or it is none."""
    kind: Any = find(DETECTORS, name)
    # What these stand on takes time to import, which only those pay for who name such a class.
    protocols = import_module("offbeat.detectors.extension.protocols")
    bases = (protocols.StatelessDetector, protocols.KeyedDetector, protocols.TrainedDetector, protocols.PopulationDetector)
    if not issubclass(kind, bases):
        named = ", ".join(base.__name__ for base in bases)
        raise UserError(f"detector {name}: the class is no detector; derive it from one of {named} of offbeat.extend")
    return settings_of(DETECTORS, name, kind, DetectorSpec)


def as_plain(spec: DetectorSpec, own: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
    """The settings as plain values: ours by `own`."""
    if spec.type in detector_types():
        return own(spec)
    mode = "json" if info.mode_is_json() else "python"
    unset, defaults, none = info.exclude_unset, info.exclude_defaults, info.exclude_none
    return spec.model_dump(mode=mode, exclude_unset=unset, exclude_defaults=defaults, exclude_none=none)
