"""`NAME://LOCATION?SETTING=VALUE`: a source or a sink of another package, and its settings, on one line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from pydantic import ValidationError

from offbeat.core.extensions import Class, Extension, find, made, settings_of
from offbeat.detectors.spec import Settings
from offbeat.errors import UserError
from offbeat.io.kafka import KAFKA

LOCATION = "location"
"""The setting that stands before the question mark."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):[^/?#]*@|(?<=[?&])password=[^&#]*&?")


@dataclass(frozen=True, slots=True)
class Address:
    """An address taken apart."""

    text: str
    """As it may be shown and kept: without a password."""
    name: str
    """The scheme: an installed name, or `package.module:Class`."""
    given: dict[str, str]
    """Settings as text, the location among them."""


def address_of(text: str) -> Address | None:
    """The parts of an address; None where `text` is none, but a path (or `file://` and a path). Raises UserError for a setting twice."""
    name, scheme_ends, rest = text.partition("://")
    named = _CLASS.fullmatch(name) and (scheme_ends or not Path(name).exists())
    if text.startswith(KAFKA):
        return None
    if not named and not (scheme_ends and _SCHEME.fullmatch(name) and name != "file"):
        return None
    location, _, query = rest.partition("?")
    given = {LOCATION: unquote(location)} if location else {}
    for setting, value in parse_qsl(query, keep_blank_values=True):
        if setting in given:
            raise UserError(f"{shown(text)}: the setting {setting!r} stands twice")
        given[setting] = value
    return Address(shown(text), name, given)


def shown(text: str) -> str:
    """An address as it may be shown and kept: without the password of `NAME://USER:PASSWORD@…` or of `?password=…`."""
    return _PASSWORD.sub(lambda found: "" if found[1] is None else f"{found[1]}@", text).rstrip("?&")


def opened(extension: Extension, address: Address, *arguments: Any) -> Any:
    """An object of the class that an address names, made with its settings and `arguments`. Raises UserError, one line."""
    found: Class = find(extension, address.name)
    settings = _validated(settings_of(extension, address.name, found, Settings), address)
    return made(extension, address.text, found, settings, *arguments)


def _validated(model: type[Settings], address: Address) -> Settings:
    try:
        return model.model_validate_strings(address.given, strict=False)
    except ValidationError as error:
        problems = [_problem(found["type"], found["loc"], found["msg"], model) for found in error.errors(include_url=False)]
    raise UserError(f"{address.text}: {'; '.join(problems)}")


def _problem(kind: str, place: tuple[int | str, ...], message: str, model: type[Settings]) -> str:
    name = ".".join(map(str, place))
    what = "the location" if name == LOCATION else f"the setting {name!r}"
    if kind == "missing":
        return "it names no location: write it behind ://" if name == LOCATION else f"{what} is missing: add ?{name}=…"
    if kind == "extra_forbidden":
        known = [field for field in model.model_fields if field != LOCATION]
        return f"there is no {what.removeprefix('the ')}; " + (f"it has {', '.join(known)}" if known else "it has none")
    said = message[:1].lower() + message[1:]
    return f"{what}: {said}" if name else said
