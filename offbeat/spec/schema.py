"""The JSON schema of pipeline files, for editors and other programs."""

from __future__ import annotations

from typing import Any

from offbeat.detectors.spec import detector_types
from offbeat.spec.models import PipelineSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def pipeline_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of a pipeline: the keys and types; names in expressions are checked by `lint` only."""
    schema = PipelineSpec.model_json_schema(mode="validation")
    for kind in detector_types().values():
        # In Python the class says which kind it is; in a file `type` must.
        definition = schema["$defs"][kind.__name__]
        definition["required"] = ["type", *definition.get("required", [])]
        definition["properties"]["type"].pop("default", None)
    return {"$schema": DIALECT, "title": "offbeat pipeline", **{key: value for key, value in schema.items() if key != "title"}}
