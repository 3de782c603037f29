"""docs/reference.md, written from the models and the tables of functions, so that it always agrees with the code."""

from __future__ import annotations

import sys
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from offbeat.core.extensions import SOURCES, find, settings_of
from offbeat.detectors.spec import DetectorSpec, Expression, Settings, detector_types
from offbeat.errors import UserError
from offbeat.spec import episode_models, models
from offbeat.spec.document import read_document
from offbeat.spec.duration import UNITS_NS
from offbeat.spec.functions import AGGREGATES, CLOCK, NEIGHBOURS, SCALARS
from offbeat.spec.identity import canonical_json
from offbeat.spec.key_paths import is_model, is_named, plain
from offbeat.spec.load import shipped
from offbeat.spec.other_detectors import detector_spec
from offbeat.spec.values import Called

_SECTIONS: tuple[tuple[str, type[Settings]], ...] = (
    ("The file", models.PipelineSpec),
    ("`source`", models.SourceSpec),
    ("`source.key`", models.KeySpec),
    ("`source.time`", models.TimeSpec),
    ("`source.columns.NAME`", models.ColumnSpec),
    ("`quality`", models.QualitySpec),
    ("`quality.tolerate`", models.ToleranceSpec),
    ("`views.NAME`", models.ViewSpec),
    ("`views.NAME.rollup`", models.RollupSpec),
    ("`views.NAME.rollup.key`", models.RollupKeySpec),
    ("`views.NAME.windows.NAME`", models.WindowSpec),
    ("`views.NAME.vote`", models.VoteSpec),
    ("`views.NAME.severity`", models.SeveritySpec),
    ("`tables.NAME`", models.TableSpec),
    ("`tables.NAME.dimension`", models.DimensionSpec),
    ("`as_of`", models.AsOfSpec),
    ("`episodes`", episode_models.EpisodesSpec),
    ("`episodes.group`", episode_models.EpisodeGroupSpec),
    ("`episodes.mutes`", episode_models.MuteSpec),
    ("`episodes.inhibit`", episode_models.InhibitSpec),
    ("`episodes.inhibit.by` and `episodes.inhibit.mutes`", episode_models.SelectionSpec),
)
_OPERATORS = (
    ("`+ - * / %`", "arithmetic; `x / 0` and `x % 0` are null, and so is any result that is not finite"),
    ("`= <> < <= > >=`", "comparison; text only by `=` and `<>`, with a text in single quotes"),
    ("`AND OR NOT`", "three-valued, as in SQL"),
    ("`x BETWEEN a AND b`, `x IN (…)`", "also with `NOT`"),
    ("`x LIKE 'pattern'`", "of a text; `%` is any text, `_` any character; also with `NOT`"),
    ("`key`", "the key of the row, or of the window of a rollup, as a text"),
    ("`x IS NULL`, `x IS NOT NULL`", "the only way to test for null"),
    ("`CASE WHEN … THEN … ELSE … END`", "null without `ELSE`"),
)


def reference_page() -> str:
    """The page as Markdown."""
    parts = [
        "# Reference of the pipeline file",
        "<!-- Written by `python -m offbeat.spec.reference > docs/reference.md`; a test compares. Change the models, not this page. -->",
        "A pipeline is a YAML file or the same objects in Python (`offbeat.spec.models`). "
        f"Shipped: {', '.join(f'`{name}`' for name in shipped())}. Unknown keys are errors. "
        "`offbeat lint FILE` checks a file, `offbeat schema` prints its JSON schema.",
        f"A *duration* is a number and a unit ({', '.join(f'`{unit}`' for unit in UNITS_NS)}), such as `60s`, `10m` or `1.5s`. "
        "A *name* is made of letters, digits and `_`. An *expression* is SQL, see [below](#expressions).",
        "`--set` changes one value for one run: `--set VIEW.DETECTOR.KEY=VALUE`, `--set VIEW.WINDOW.KEY=VALUE`, or a path from the top, "
        "such as `--set quality.lateness=5s`.",
    ]
    for title, model in _SECTIONS:
        parts += [f"## {title}", _section(model)]
    for name, kind in detector_types().items():
        parts += [f"## `views.NAME.detectors.NAME` with `type: {name}`", _section(kind)]
    return "\n\n".join([*parts, *_language()]) + "\n"


def _section(model: type[Settings]) -> str:
    lines = [" ".join((model.__doc__ or "").split()), "", "| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = _cell(field.description or (_kind(model) if name == "type" else ""))
        if field.examples:
            meaning += " E.g. " + ", ".join(f"`{_cell(_written(example))}`" for example in field.examples)
        lines.append(f"| `{name}` | {_cell(_type(field))} | {_default(field, model)} | {meaning} |")
    return "\n".join(lines)


def _kind(model: type[Settings]) -> str:
    return f"`{model.model_fields['type'].default}`: this kind of detector."


def _written(value: Any) -> str:
    if isinstance(value, str):
        # Quotes only where YAML would take the text for something else.
        document = read_document(value)
        return value if document.value == value and not document.problems else f"'{value}'"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_written(inner) for inner in value) + "]"
    return canonical_json(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _default(field: FieldInfo, model: type[Settings]) -> str:
    value = field.default
    if value is PydanticUndefined or (issubclass(model, DetectorSpec) and model.model_fields["type"] is field):
        return "required"
    # Mappings with settings of their own have a section of their own.
    if value is None or value in ("", [], {}) or isinstance(value, Settings):
        return ""
    return f"`{_cell(_written(value))}`"


def _type(field: FieldInfo) -> str:
    # pydantic keeps what stood in Annotated as metadata of the field: put together again, it is the annotation that the model has.
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    return _type_name(annotation)


def _type_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        called = [part.name for part in annotation.__metadata__ if isinstance(part, Called)]
        if called:
            return called[0]
        if annotation == Expression:
            return "expression"
    if origin in {Union, UnionType}:
        return " or ".join(_type_name(option) for option in get_args(annotation) if option is not type(None))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    bare = plain(annotation)
    if is_named(bare):
        key, value = get_args(bare)
        return f"mapping: {_type_name(key)} → {_type_name(value)}"
    if get_origin(bare) is list:
        return f"list of {_type_name(get_args(bare)[0])}s"
    if is_model(bare):
        if issubclass(bare, DetectorSpec):
            return "detector"
        return f"mapping, or text for `{bare.short}`" if bare.short else "mapping"
    if bare is not annotation:
        return _type_name(bare)
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, str(annotation))


def _language() -> list[str]:
    rows = "\n".join(f"| {usage} | {meaning} |" for usage, meaning in _OPERATORS)
    scalars = "\n".join(f"| `{spec.usage}` | {spec.meaning} |" for spec in SCALARS.values())
    scalars += "\n| `prefix(x, n)` | the first n characters of a text, as a text |"
    inside = "\n".join(f"| `{usage}` | {meaning} |" for usage, meaning in (*NEIGHBOURS.values(), *CLOCK.values()))
    aggregates = "\n".join(f"| `{spec.usage}` | {spec.meaning} | {'yes' if spec.rollup else ''} |" for spec in AGGREGATES.values())
    return [
        "## Expressions",
        "SQL expressions over the columns of a row, and, in detectors, over features. Names are case-sensitive, keywords and functions "
        "are not. Null stays null, except where the tables say otherwise. The [definitions](definitions.md#expressions) say what each "
        "operation gives, to the bit.",
        "| operator | |\n|---|---|\n" + rows,
        "| function of a row | |\n|---|---|\n" + scalars,
        "## Aggregates",
        "Features of windows and columns of rollups are expressions over aggregates, such as `last(close) / first(close) - 1`; the "
        "argument of an aggregate is an expression of a row, such as `mean(side = 'A')`.",
        "| aggregate | | in rollups |\n|---|---|---|\n" + aggregates,
        "Only inside an aggregate, such as `max(abs(diff(price)))`:",
        "| function of a row and its key | |\n|---|---|\n" + inside,
    ]


def detector_section(name: str) -> str:
    """The settings of another package's detector, as Markdown."""
    return f"## `views.NAME.detectors.NAME` with `type: {name}`\n\n{_section(detector_spec(name))}\n"


def source_section(name: str) -> str:
    """The settings of another package's source, as Markdown: what stands in `source` besides the keys of every source."""
    return f"## `source` with `type: {name}`\n\n{_section(settings_of(SOURCES, name, find(SOURCES, name), Settings))}\n"


def _of_another_package(name: str) -> str:
    try:
        return detector_section(name)
    except UserError:
        return source_section(name)


if __name__ == "__main__":
    # Run as a program, this module writes the page; with names of detectors and sources of other packages, their sections.
    sys.stdout.write("\n".join(map(_of_another_package, sys.argv[1:])) if sys.argv[1:] else reference_page())
