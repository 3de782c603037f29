"""Collects the problems of a pipeline, one line each: where, which key, what is wrong, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from offbeat.core.extensions import DETECTORS, installed
from offbeat.detectors.spec import detector_types
from offbeat.spec.document import Path
from offbeat.spec.key_paths import ROOT, child, is_model, keys
from offbeat.spec.nearest import nearest

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "list_type": "a list",
}
_LENGTHS = {"over", "size", "lateness", "cadence", "max_jump", "forget_after"}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "above"),
    "less_than": ("lt", "below"),
}


class Problems:
    """All problems of one pipeline."""

    def __init__(self, file: str = "", lines: Mapping[Path, int] | None = None, overrides: Mapping[Path, str] | None = None) -> None:
        self.file = file
        self.lines = dict(lines or {})
        self.overrides = dict(overrides or {})
        self._found: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, path: Sequence[str], message: str, line: int | None = None) -> None:
        """Note a problem at `path`; its line is that of the nearest key in the file."""
        found, prefix = self.place(path, line)
        key = f"{'.'.join(path)}: " if path else ""
        self._note(found, f"{prefix}{key}{message}")

    def place(self, path: Sequence[str], line: int | None = None) -> tuple[int, str]:
        """A key's line, 0 for an override; and how messages about it begin, '' for a pipeline that is no file."""
        above = [tuple(path[:size]) for size in range(len(path), -1, -1)]
        for key in above:
            if key in self.overrides:
                return 0, f"--set {self.overrides[key]}: "
        found = line if line is not None else next((self.lines[key] for key in above if key in self.lines), 1)
        return found, f"{self.file}:{found}: " if self.file else ""

    def beside(self) -> Problems:
        """Another list for the same pipeline, for remarks that are no mistakes; it knows the same lines and overrides."""
        other = Problems(self.file)
        other.lines, other.overrides = self.lines, self.overrides
        return other

    def add_override(self, override: str, message: str) -> None:
        """Note that an override itself cannot be applied."""
        self._note(0, f"--set {override}: {message}")

    def _note(self, line: int, text: str) -> None:
        # One problem is one line, and the content of a file must not control the terminal.
        text = _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
        if (line, text) not in self._found:
            self._found.append((line, text))

    def listed(self) -> list[str]:
        """All problems, in the order of the file."""
        return [text for _, text in sorted(self._found, key=lambda found: found[0])]

    def add_validation(self, error: ValidationError, value: Any) -> list[Path]:
        """Note what pydantic found, in our own words; gives the paths of what it was about."""
        paths = []
        for found in error.errors(include_url=False):
            path = _path(found["loc"], value)
            paths.append(path)
            self.add(path[:-1] if found["type"] == "missing" else path, _message(found, path, value))
        return paths


def _path(location: tuple[int | str, ...], value: Any) -> Path:
    """Pydantic's location without its own additions: the kind of a detector, and '[key]' after a bad name."""
    annotation, path, inner = ROOT, list[str](), value
    for part in location:
        key = str(part)
        if key == "[key]":
            continue
        if (
            is_model(annotation)
            and key not in annotation.model_fields
            and isinstance(inner, dict)
            and inner.get("type") == key
            and key not in inner
        ):
            continue
        path.append(key)
        inner = inner.get(key) if isinstance(inner, dict) else None
        annotation = child(annotation, key, inner)
    return tuple(path)


def _message(found: ErrorDetails, path: Path, value: Any) -> str:
    kind, context, given = found["type"], found.get("ctx", {}), found["input"]
    if kind == "missing":
        return f"missing key {path[-1]!r}"
    if kind == "extra_forbidden":
        annotation, inner = ROOT, value
        for key in path[:-1]:
            inner = inner.get(key) if isinstance(inner, dict) else None
            annotation = child(annotation, key, inner)
        return f"unknown key {path[-1]!r}{nearest(path[-1], keys(annotation, inner))}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        valid = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        return f"{_shown(given)} is not valid{nearest(str(given), valid)}"
    if kind == "union_tag_not_found":
        return "missing key 'type'" + nearest("", _types())
    if kind == "union_tag_invalid":
        return f"unknown type {context['tag']!r}{nearest(str(context['tag']), _types())}; a class of your own is `package.module:Class`"
    if kind in {"too_short", "string_too_short"}:
        return "must not be empty"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"must be {words} {context[name]}, not {_shown(given)}"
    expected = _EXPECTED.get(kind)
    if kind == "string_type" and isinstance(given, int | float) and path[-1] in _LENGTHS:
        expected = f"a length with its unit, such as {given}s or {given}m"
    return f"expected {expected}, got {_shown(given)}" if expected else f"{found['msg'][:1].lower()}{found['msg'][1:]}"


def _types() -> list[str]:
    """Every kind of detector that can be named here."""
    return [*detector_types(), *installed(DETECTORS)]


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
