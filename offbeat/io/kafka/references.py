"""Avro schemas that refer to others, made one: each type is spelled out where it is named first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PARTS = ("type", "items", "values")
_BUILT_IN = frozenset(
    {
        "null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "fixed", "array", "map", "error"
    }
)  # fmt: skip


def spelled_out(schema: Any, known: Mapping[str, Any]) -> Any:
    """The schema with the types of `known`, by full name, in the places of their names; where one comes again, its name stays."""
    return _Inliner(known).of(schema, "")


class _Inliner:
    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known, self._done = known, set[str]()

    def of(self, schema: Any, namespace: str) -> Any:
        """A schema inside of a namespace."""
        if isinstance(schema, str):
            return self._named(schema, namespace)
        if isinstance(schema, list):
            return [self.of(each, namespace) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if isinstance(name := schema.get("name"), str) and schema.get("type") in ("record", "enum", "fixed", "error"):
            namespace = name.rpartition(".")[0] or schema.get("namespace", namespace)
            self._done.add(_full(name, namespace))
        out = {key: self.of(value, namespace) if key in _PARTS else value for key, value in schema.items()}
        if isinstance(fields := schema.get("fields"), list):
            out["fields"] = [self._field(field, namespace) for field in fields]
        return out

    def _field(self, field: Any, namespace: str) -> Any:
        return {**field, "type": self.of(field["type"], namespace)} if isinstance(field, dict) and "type" in field else field

    def _named(self, name: str, namespace: str) -> Any:
        if name in _BUILT_IN:
            return name
        full = next((each for each in (_full(name, namespace), name) if each in self._known), None)
        if full is None or full in self._done:
            return name if full is None else full
        self._done.add(full)
        found = self._known[full]
        if isinstance(found, dict):
            # Else it would be taken to be of the namespace in which it now stands.
            found = {**found, "namespace": found.get("namespace", full.rpartition(".")[0])}
        return self.of(found, "")


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
