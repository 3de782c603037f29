"""Classes from other packages: found by the name they were installed under, or by `package.module:Class`."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module, invalidate_caches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from offbeat.errors import UserError

Class = Callable[..., Any]
Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class Extension:
    """What other packages can bring."""

    group: str
    """The group of entry points under which packages name their classes."""
    what: str
    """One of them, for people."""
    methods: tuple[str, ...]
    """What a class must have to be one."""


SOURCES = Extension("offbeat.sources", "source", ("size_bytes", "done_bytes", "chunks", "close"))
SINKS = Extension("offbeat.sinks", "sink", ("write", "commit", "close"))
DETECTORS = Extension("offbeat.detectors", "detector", ())


def installed(extension: Extension) -> dict[str, list[str]]:
    """Names that installed packages give in `extension.group`, each with its class as `package.module:Class`; several where names clash."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for entry in entry_points(group=extension.group):
        found[entry.name].add(entry.value.partition("[")[0].strip())
    return {name: sorted(found[name]) for name in sorted(found)}


def find(extension: Extension, name: str) -> Class:
    """The class that `name` stands for: `package.module:Class`, or a name that an installed package gives in `extension.group`.

    A module that is not installed is also looked for in the current folder. Importing it runs its code. Raises UserError, one line, where
    there is no such class, its module cannot be imported, or it lacks a method of `extension.methods`.
    """
    if ":" in name:
        return _checked(extension, name, _imported(name))
    classes = installed(extension)
    if name not in classes:
        near = get_close_matches(name, classes, 1, 0.6)
        known = f" (installed: {', '.join(classes)})" if classes else ""
        hint = f"did you mean {near[0]!r}?" if near else f"install the package that brings it{known}, or name a class: package.module:Class"
        raise UserError(f"there is no {extension.what} {name!r}; {hint}")
    if len(classes[name]) > 1:
        raise UserError(
            f"{extension.what} {name!r} is given by several installed packages: name the class instead, {' or '.join(classes[name])}"
        )
    return _checked(extension, f"{name} ({classes[name][0]})", _imported(classes[name][0]))


def settings_of(extension: Extension, name: str, found: Class, base: type[Model]) -> type[Model]:
    """The model, a subclass of `base`, that types a class's settings. Raises UserError where it has none."""
    model = getattr(found, "settings", None)
    if not (isinstance(model, type) and issubclass(model, base)):
        raise UserError(f"{extension.what} {name}: its attribute `settings` must be a subclass of offbeat.extend.Settings")
    return model


def _imported(path: str) -> Any:
    module, _, inner = path.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *inner.split("."))):
        raise UserError(f"{path!r} names no class: write package.module:Class")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that installed packages come first
    invalidate_caches()
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        lacking = error.name or module
        if module == lacking or module.startswith(f"{lacking}."):
            raise UserError(f"{path}: there is no module {lacking!r}: install it, or call from the folder that it is in") from error
        raise UserError(f"{path}: {module} needs the module {lacking!r}, which is not installed") from error
    except (Exception, SystemExit) as error:  # whatever the module does while it is imported
        raise UserError(f"{path}: importing {module} fails: {_said(error)}") from error
    for part in inner.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, [name for name in vars(found) if not name.startswith("_")], 1, 0.6)
            raise UserError(f"{path}: {module} has no {inner}" + (f"; did you mean {near[0]}?" if near else ""))
        found = getattr(found, part)
    return found


def _checked(extension: Extension, name: str, found: Any) -> Class:
    if not isinstance(found, type):
        raise UserError(f"{extension.what} {name}: that is no class")
    lacking = [method for method in extension.methods if not callable(getattr(found, method, None))]
    if lacking:
        raise UserError(f"{extension.what} {name}: the class is no {extension.what}, as it has no method {' and no '.join(lacking)}")
    return found


def _said(error: BaseException) -> str:
    """An error of other people's code on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def made(extension: Extension, name: str, found: Class, *arguments: Any) -> Any:
    """An object of the class. Raises UserError also where the class raises something else while it is made."""
    try:
        return found(*arguments)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{extension.what} {name} cannot be opened: {_said(error)}") from error
