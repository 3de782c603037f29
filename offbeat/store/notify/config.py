"""`notify.yaml`: who is told what, how often, and in which words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, ValidationError, field_validator

from offbeat.detectors.spec import Settings
from offbeat.errors import SpecError
from offbeat.spec.document import read_document
from offbeat.spec.nearest import nearest
from offbeat.spec.problems import Problems
from offbeat.spec.values import Duration

FIELDS = (
    "level", "severity", "key", "time", "what", "detector", "observed", "expected", "threshold", "votes", "voters", "pipeline", "view",
    "status", "id", "alerts", "event",
)  # fmt: skip
"""What a template can name."""
_PLACE = re.compile(r"\{([^{}]*)\}")
_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def filled(template: str, values: dict[str, str]) -> str:
    """A template with its places filled in; values are text and nothing in them is looked at again."""
    return _PLACE.sub(lambda found: values.get(found[1], ""), template)


def _checked(template: str) -> str:
    for name in _PLACE.findall(template):
        if name not in FIELDS:
            raise ValueError(f"{{{name}}} is no field{nearest(name, list(FIELDS))}")
    return template


_Template = Annotated[str, AfterValidator(_checked)]


class Rate(Settings):
    """At most so many messages in a span of time; what comes beyond waits for the next message, and is then told in one."""

    messages: int = Field(default=20, ge=1, description="At most so many messages …")
    every: Duration = Field(default="1h", description="… in this span of time.")


class Receiver(Settings):
    """Who is told about which alerts, and how."""

    url: str = Field(
        min_length=1,
        description="Where to, as Apprise writes it: mailto://, slack://, json://, … `${NAME}` is replaced from the environment.",
    )
    about: Literal["alerts", "incidents"] = Field(
        default="alerts",
        description="Told of each alert, or of incidents: alerts close in time as one, and nothing of what is muted, snoozed or done with.",
    )
    levels: list[str] = Field(default=[], description="Only alerts of these levels. Default: all.")
    pipelines: list[str] = Field(default=[], description="Only alerts of these pipelines. Default: all.")
    views: list[str] = Field(default=[], description="Only alerts of these views. Default: all.")
    keys: list[str] = Field(default=[], description="Only alerts of these keys. Default: all.")
    digest: Duration = Field(default="0s", description="Gather for so long, counted from the first, before a message goes out.")
    rate: Rate = Field(default=Rate(), description="The most messages in a span of time.")
    title: _Template | None = Field(default=None, description="Title of a message about one alert, instead of the common one.")
    line: _Template | None = Field(default=None, description="What is said about each alert, instead of the common words.")


class NotifyConfig(Settings):
    """Who is told about the alerts of a store."""

    receivers: dict[str, Receiver] = Field(min_length=1, description="By a name of your choice.")
    zone: str = Field(default="UTC", description="Zone of the times in messages, such as Asia/Kolkata.")
    title: _Template = Field(default="{level}: {key}, {what}", description="Title of a message about one alert.")
    line: _Template = Field(
        default="{level} {severity}  {key}  {time}\n  {what}\n  {pipeline}/{view}, {votes} of {voters} votes, {id}",
        description="What is said about each alert.",
    )

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"unknown zone {value!r}{nearest(value, sorted(available_timezones()))}")
        return value


def read_config(path: Path) -> NotifyConfig:
    """Raises SpecError, a line for each problem."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from error
    document = read_document(text)
    problems = Problems(str(path), document.lines)
    for place, line, message in document.problems:
        problems.add(place, message, line)
    if problems or not isinstance(document.value, dict):
        raise SpecError(problems.listed() or [f"{path}:1: a mapping with `receivers` is needed"])
    try:
        return NotifyConfig.model_validate(document.value)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            where = tuple(str(part) for part in found["loc"])
            problems.add(where, _said(found))
        raise SpecError(problems.listed()) from error


def _said(found: Any) -> str:
    if found["type"] == "extra_forbidden":
        known = [*NotifyConfig.model_fields, *Receiver.model_fields, *Rate.model_fields]
        return f"unknown key{nearest(str(found['loc'][-1]), known)}"
    if found["type"] == "value_error":
        return str(found["ctx"]["error"])
    if found["type"] == "missing":
        return "is missing"
    message: str = found["msg"]
    return message[:1].lower() + message[1:]


def with_environment(url: str, receiver: str) -> str:
    """An address with its `${NAME}` replaced. Raises SpecError for one that is not set."""
    missing = [name for name in _ENVIRONMENT.findall(url) if name not in os.environ]
    if missing:
        raise SpecError([f"receivers.{receiver}.url: {', '.join(missing)} is not set in the environment"])
    return _ENVIRONMENT.sub(lambda found: os.environ[found[1]], url)
