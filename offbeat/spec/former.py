"""Former names in a pipeline → the present ones, with a note of each place."""

from __future__ import annotations

from typing import Any

from offbeat.detectors.former_names import FormerName
from offbeat.spec.document import Path
from offbeat.spec.key_paths import ROOT, child, is_model, is_named, short_form
from offbeat.spec.problems import Problems

_SHOWN = 4
"""Places of one former name that a run names."""


class FormerNames:
    """Gives a pipeline its present names. `notes` gets a line for each former one; a setting under both names is one of the `problems`."""

    def __init__(self, problems: Problems) -> None:
        self.notes = problems.beside()
        self._problems = problems
        self._places: dict[str, list[str]] = {}

    def replaced(self, raw: Any) -> Any:
        """A copy of the pipeline's mapping in present names."""
        return self._value(raw, ROOT, ())

    def present_path(self, path: Path, raw: Any, override: str) -> Path:
        """The path of a `--set` in present names; `raw` is what it leads into, in present names already."""
        annotation, value, present = ROOT, raw, list[str]()
        for key in path:
            name = key
            if is_model(annotation) and key not in annotation.model_fields:
                name = annotation.former.get(key, key)
            present.append(name)
            if name != key:
                self._note((*present,), FormerName(name, key, name), override)
            value = value.get(name) if isinstance(value, dict) else None
            annotation = child(annotation, name, value)
        return tuple(present)

    def summary(self) -> tuple[str, ...]:
        """One line for each former name, however often it occurs."""
        lines = []
        for name, places in self._places.items():
            first, *more = places[:_SHOWN]
            shown = [first, *(place.removeprefix(f"{self._problems.file}:") for place in more)]
            rest = f", … ({len(places)} places)" if len(places) > _SHOWN else ""
            lines.append(f"{', '.join(shown)}{rest}: {name}")
        return tuple(lines)

    def _value(self, value: Any, annotation: Any, path: Path) -> Any:
        if is_model(annotation):
            short = short_form(annotation)
            if short and isinstance(value, str):
                return self._settings({short: value}, annotation, path)[short]
            return self._settings(value, annotation, path) if isinstance(value, dict) else value
        if is_named(annotation) and isinstance(value, dict):
            return self._inside(value, annotation, path)
        return value

    def _settings(self, value: dict[Any, Any], annotation: Any, path: Path) -> dict[Any, Any]:
        given = dict(value)
        for old, name in annotation.former.items():
            if old in given and name in given:
                self._problems.add((*path, old), f"`{old}` is the former name of `{name}`, which is given too: remove `{old}`")
                del given[old]
        settings, found = annotation.by_present_names(given)
        for name in found:
            written, present = (*path, name.old), (*path, name.key)
            if present not in self._problems.lines and written in self._problems.lines:
                self._problems.lines[present] = self._problems.lines[written]
            self._note(present, name)
        return self._inside(settings, annotation, path)

    def _inside(self, value: dict[Any, Any], annotation: Any, path: Path) -> dict[Any, Any]:
        return {key: self._value(inner, child(annotation, key, inner), (*path, str(key))) for key, inner in value.items()}

    def _note(self, path: Path, name: FormerName, override: str = "") -> None:
        if override:
            self.notes.add_override(override, str(name))
        else:
            self.notes.add(path, str(name))
        place = f"--set {override}" if override else self.notes.place(path)[1].removesuffix(": ") or ".".join(path)
        self._places.setdefault(str(name), []).append(place)
