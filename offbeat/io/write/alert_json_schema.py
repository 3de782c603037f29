"""The alert as a published JSON schema (draft 2020-12), for whoever reads the alerts without us."""

from __future__ import annotations

from typing import Any

from offbeat.decide.block import STATUSES

_NUMBER = {"type": ["number", "null"]}
_RFC_3339 = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$"
_TIME = {"type": "string", "pattern": _RFC_3339, "description": "RFC 3339, nanoseconds, UTC"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def alert_json_schema() -> dict[str, Any]:
    """The schema of one line of a JSONL output; every sink holds the same record."""
    contribution = _object({"feature": {"type": "string"}, "value": _NUMBER}, "What a feature adds to the score; see `offbeat explain`.")
    odd = _object(
        {"feature": {"type": "string"}, "observed": _NUMBER, "expected": _NUMBER, "low": _NUMBER, "high": _NUMBER},
        "A feature outside what is usual for it.",
    )
    detector = _object(
        {
            "name": {"type": "string"},
            "score": {**_NUMBER, "description": "Calibrated, 0…1, higher is odder, 0.5 at the threshold; null while there is no verdict."},
            "threshold": {**_NUMBER, "description": "What `observed` is compared with."},
            "voted": {"type": "boolean"},
            "observed": _NUMBER,
            "expected": _NUMBER,
            "contributions": {"type": "array", "items": contribution},
            "odd": {"type": "array", "items": odd},
            "note": {"type": ["string", "null"], "description": "What a reader should know of the verdict, such as why there is none."},
        },
        "What one detector of the view said.",
    )
    window = _object(
        {
            "from": _TIME,
            "to": _TIME,
            "n": {"type": "integer", "minimum": 0, "description": "Rows in the window."},
            "statistics": {"type": ["object", "null"], "additionalProperties": _NUMBER},
        },
        "The evidence the row was judged against; it looks back only.",
    )
    properties: dict[str, Any] = {
        "alert_id": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Same event, same id, on every engine."},
        "revision": {"type": "integer", "minimum": 0, "description": "Rows in the window so far; the greatest replaces the others."},
        "status": {"enum": list(STATUSES), "description": "Among equal revisions the last of these replaces the others."},
        "pipeline": {"type": "string"},
        "view": {"type": "string"},
        "key": {"type": "string"},
        "time": _TIME,
        "severity": {**_SHARE, "type": ["number", "null"]},
        "level": {"type": "string"},
        "votes": {"type": "integer", "minimum": 0},
        "voters": {"type": "integer", "minimum": 0, "description": "Detectors that had a verdict."},
        "detectors": {"type": "array", "items": detector},
        "row": {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
            "description": "The judged row; a rollup's aggregates for a window.",
        },
        "window": {**window, "type": ["object", "null"]},
        "model_version": {"type": ["string", "null"], "description": "Detector and number of the training that its model came from."},
        "plan_hash": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Of everything in the pipeline that decides an alert."},
        "offbeat_version": {"type": "string"},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "offbeat alert", **_object(properties, "One alert.")}


def _object(properties: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
