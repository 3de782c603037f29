"""The alert as a published JSON schema (draft 2020-12), for whoever reads the alerts without us."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offbeat.decide.block import STATUSES
from offbeat.io.write.alert_table import OF_SOME_DETECTORS, RECORD_VERSION

_NUMBER = {"type": ["number", "null"]}
_RFC_3339 = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$"
_TIME = {"type": "string", "pattern": _RFC_3339, "description": "RFC 3339, nanoseconds, UTC"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def alert_json_schema() -> dict[str, Any]:
    """The schema of one line of a JSONL output; every sink holds the same record."""
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
        "detectors": {"type": "array", "items": _detector()},
        "row": {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
            "description": "The judged row; a rollup's aggregates for a window.",
        },
        "window": _window(
            "The longest window of the view, for context: which earlier rows a detector used is said by its own `window`.",
            statistics={"type": ["object", "null"], "additionalProperties": _NUMBER, "description": "Features of the view at that row."},
        ),
        "model_version": {"type": ["string", "null"], "description": "Trained detectors, each with the number of its training."},
        "plan_hash": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Of everything in the pipeline that decides an alert."},
        "offbeat_version": {"type": "string"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:offbeat:alert:{RECORD_VERSION}",
        "title": "offbeat alert",
        "version": RECORD_VERSION,
        **_object(properties, "One alert."),
    }


def _detector() -> dict[str, Any]:
    contribution = _object(
        {"feature": {"type": "string"}, "value": _NUMBER},
        "What a feature adds to the score. Below 0: of a model, it makes the row look usual; of zscore, band and quantile, the value lies "
        "below its center.",
    )
    out_of_range = _object(
        {"feature": {"type": "string"}, "observed": _NUMBER, "expected": _NUMBER, "low": _NUMBER, "high": _NUMBER},
        "A feature outside what is usual for it.",
    )
    properties: dict[str, Any] = {
        "name": {"type": "string"},
        "type": {"type": ["string", "null"], "description": "As in the pipeline: rule, zscore, isolation_forest, …"},
        "model_version": {
            "type": ["integer", "null"],
            "minimum": 1,
            "description": "Of a trained detector: the number of its model's training, or one that names it. Null without a model.",
        },
        "window": _window(
            "What this detector held the row against. zscore, band, quantile: their own window, or the one that their baseline is read "
            "from; a rule: the one that its condition reads, of several the one that reaches back furthest; trained detectors: the first "
            "and the last of the rows that the model was trained on; absence: the key's first and last window. Null: the row was held "
            "against nothing but itself, or there was no model yet.",
        ),
        "score": {**_NUMBER, "description": "Calibrated, 0…1, higher is odder, 0.5 at the threshold; null while there is no verdict."},
        "raw": {
            **_NUMBER,
            "description": "Of a trained detector the model's score, of zscore over several values the greatest distance in units of its "
            "limit. Null where `observed` is what is compared with the threshold.",
        },
        "threshold": {**_NUMBER, "description": "What `raw` is compared with, where there is one, else `observed`."},
        "voted": {"type": "boolean"},
        "observed": {**_NUMBER, "description": "The value that was judged; null where that is several."},
        "expected": {**_NUMBER, "description": "What `observed` would have been in a usual row."},
        "contributions": {"type": "array", "items": contribution},
        "out_of_range": {"type": "array", "items": out_of_range},
        "note": {"type": ["string", "null"], "description": "What a reader should know of the verdict, such as why there is none."},
    }
    absent = f"What one detector of the view said. {', '.join(OF_SOME_DETECTORS)} are absent where all detectors of the pipeline are rules."
    return _object(properties, absent, optional=OF_SOME_DETECTORS)


def _window(description: str, **more: dict[str, Any]) -> dict[str, Any]:
    ends = {"from": {**_TIME, "type": ["string", "null"]}, "to": _TIME}
    n = {"type": "integer", "minimum": 0, "description": "Rows in the window; of an absence detector, windows that could have been."}
    return {**_object({**ends, "n": n, **more}, description), "type": ["object", "null"]}


def _object(properties: dict[str, Any], description: str, optional: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }
