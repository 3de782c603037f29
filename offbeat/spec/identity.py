"""The identity of a pipeline: hashes over what decides an alert, and over what its state depends on [S24]."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

MEANING = 1
"""Increase it when the meaning of the same pipeline changes, so that old state is not taken for new."""


def canonical_json(value: Any) -> str:
    """One text for one value: no spaces, the order of keys as given where it means something, so callers build their dicts in one order."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def former_name(former: Mapping[str, str], name: str) -> str:
    """What hashes call a setting or value: the name it had first, so that a new name alone makes no other pipeline of it."""
    return next((old for old, new in former.items() if new == name), name)


def digest(value: Any) -> str:
    """32 hex digits over a value of JSON."""
    return blake2b(canonical_json([MEANING, value]).encode(), digest_size=16).hexdigest()
