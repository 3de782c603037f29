"""What every detector's settings have in common, and the list of all kinds of detector.

A detector's settings live in `offbeat/detectors/NAME_spec.py`, beside the detector, as a subclass of `DetectorSpec` whose `type` is a
Literal. Nothing else is needed: the file is found by its name, and parsing, lint, JSON schema and reference page follow from the class.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

import offbeat.detectors


class Settings(BaseModel):
    """A mapping of the pipeline file. Unknown keys and wrong types are errors; nothing is converted in silence."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    short: ClassVar[str] = ""
    """Field that a bare text stands for: `price: float` for `price: {type: float}`. '' = there is no short form."""

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, value: Any) -> Any:
        return {cls.short: value} if cls.short and isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        if not cls.short:
            return schema
        full = handler.resolve_ref_schema(schema)
        field = dict(full["properties"][cls.short])
        field.pop("default", None)
        described: JsonSchemaValue = {key: full.pop(key) for key in ("title", "description") if key in full}
        described["anyOf"] = [{**field, "description": f"Short for {{{cls.short}: …}}."}, dict(full)]
        full.clear()
        full.update(described)
        return schema


def _as_text(value: Any) -> Any:
    """YAML reads `expected: 0` and `when: true` as a number and a truth value; both are expressions."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return repr(value) if isinstance(value, int | float) else value


Expression = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | float | bool)]
"""An expression as text; checked when the plan is made, where the columns are known."""


class DetectorSpec(Settings):
    """Settings of one detector; each kind has its own subclass with a `type`."""

    type: str


@cache
def detector_types() -> dict[str, type[DetectorSpec]]:
    """Every kind of detector by its `type`, out of the files `*_spec.py` of this package."""
    for module in sorted(found.name for found in iter_modules(offbeat.detectors.__path__)):
        if module.endswith("_spec"):
            import_module(f"offbeat.detectors.{module}")
    return {kind.model_fields["type"].default: kind for kind in DetectorSpec.__subclasses__()}
