"""The JSON schema of pipeline files, for editors and other programs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from offbeat.core.extensions import SOURCES, installed
from offbeat.detectors.spec import detector_types
from offbeat.spec.models import PipelineSpec, SourceSpec
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


def _typed(source: dict[str, Any], kind: dict[str, Any]) -> dict[str, Any]:
    """The schema of a source that must have a `type`."""
    type_ = kind | {"description": source["properties"]["type"]["description"]}
    return source | {"properties": source["properties"] | {"type": type_}, "required": ["type", *source["required"]]}
