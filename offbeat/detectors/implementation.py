"""Where the class of a trained detector stands: it is called like its file, in a folder of its type."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def implementation(type_: str) -> Callable[..., Any]:
    """`isolation_forest` → offbeat.detectors.isolation_forest.isolation_forest.IsolationForest."""
    name = "".join(part.capitalize() for part in type_.split("_"))
    found: Callable[..., Any] = getattr(import_module(f"offbeat.detectors.{type_}.{type_}"), name)
    return found
