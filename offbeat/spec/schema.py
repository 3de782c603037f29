"""The JSON schema of pipeline files, for editors and other programs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from offbeat.core.extensions import DETECTORS, SOURCES, installed
from offbeat.detectors.spec import detector_types
from offbeat.errors import UserError
from offbeat.spec.models import PipelineSpec, SourceSpec
from offbeat.spec.other_detectors import detector_spec
from offbeat.spec.sources import source_spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CLASS = "^[^:]+:[^:]+$"
"""`package.module:Class`."""


def pipeline_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of a pipeline: the keys and types; names in expressions are checked by `lint` only."""
    schema = PipelineSpec.model_json_schema(mode="validation")
    for kind in detector_types().values():
        # In Python the class says which kind it is; in a file `type` must.
        definition = schema["$defs"][kind.__name__]
        definition["required"] = ["type", *definition.get("required", [])]
        definition["properties"]["type"].pop("default", None)
    _sources(schema)
    _detectors(schema)
    return {"$schema": DIALECT, "title": "offbeat pipeline", **{key: value for key, value in schema.items() if key != "title"}}


def _sources(schema: dict[str, Any]) -> None:
    """Besides files: the sources that are installed here, with their settings, and classes, of which nothing more is known."""
    definitions = schema["$defs"]
    files = definitions["SourceSpec"]
    kinds = {"AnySource": _typed(files, {"type": "string", "pattern": _CLASS}) | {"additionalProperties": True}}
    for number, name in enumerate(installed(SOURCES), 1):
        with suppress(ValidationError):  # one that cannot be imported is not in the schema
            found = source_spec(SourceSpec, {"type": name}).model_json_schema(mode="validation")
            definitions |= found.pop("$defs", {})
            kinds[f"InstalledSource{number}"] = _typed(found, {"const": name})
    definitions["SourceSpec"] = files | {"properties": {key: value for key, value in files["properties"].items() if key != "type"}}
    definitions |= kinds
    options = [{"$ref": f"#/$defs/{name}"} for name in ("SourceSpec", *kinds)]
    schema["properties"]["source"] = {"anyOf": options}


def _detectors(schema: dict[str, Any]) -> None:
    """Besides ours: the detectors that are installed here, with their settings, and classes, of which nothing more is known."""
    definitions = schema["$defs"]
    place = definitions["ViewSpec"]["properties"]["detectors"]["additionalProperties"]
    of_class = {"type": {"type": "string", "pattern": _CLASS, "description": "A detector of your own: package.module:Class."}}
    definitions["AnyDetector"] = {"type": "object", "properties": of_class, "required": ["type"]}
    place["oneOf"].append({"$ref": "#/$defs/AnyDetector"})
    for number, name in enumerate(sorted({*installed(DETECTORS)} - {*detector_types()}), 1):
        with suppress(UserError):  # one that cannot be imported is not in the schema
            found = detector_spec(name).model_json_schema(mode="validation")
            definitions |= found.pop("$defs", {})
            found["properties"]["type"] = {"const": name}
            definitions[f"InstalledDetector{number}"] = found
            place["oneOf"].append({"$ref": f"#/$defs/InstalledDetector{number}"})
            place["discriminator"]["mapping"][name] = f"#/$defs/InstalledDetector{number}"


def _typed(source: dict[str, Any], kind: dict[str, Any]) -> dict[str, Any]:
    """The schema of a source that must have a `type`."""
    type_ = kind | {"description": source["properties"]["type"]["description"]}
    return source | {"properties": source["properties"] | {"type": type_}, "required": ["type", *source["required"]]}
