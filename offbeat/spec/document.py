"""YAML text → plain values, with the line of every key: safe, without YAML 1.1's surprises, and duplicate keys are reported.

Only the types of JSON exist: `2000-01-01`, `no` and `on` stay text, `10:30` is not 630, and a tag such as `!!python/object` is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str, ...]
"""Keys from the top of the document down; places in lists as decimal text."""


_PARTS, _DEPTH, _DIGITS = 100_000, 60, 40
"""Values, levels and digits of a whole number are bounded, so that no file of a few lines costs memory or time without end."""


@dataclass(slots=True)
class Document:
    """A YAML document: its value, the line of each part, and its problems."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[tuple[Path, int, str]] = field(default_factory=list)
    parts: int = 0
    """Values so far."""


class _Loader(yaml.SafeLoader):
    """YAML's syntax with the scalars of JSON."""


_Loader.yaml_implicit_resolvers = {}


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
    list("-+0123456789."),
)


def read_document(text: str) -> Document:
    """Read one YAML document; problems are noted, not raised."""
    document = Document()
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.problem, error.context) if part)
        document.problems.append(((), mark.line + 1 if mark else 1, f"not valid YAML: {said}"))
        return document
    except yaml.YAMLError as error:
        document.problems.append(((), 1, f"not valid YAML: {' '.join(str(error).split())}"))
        return document
    except RecursionError:
        document.problems.append(((), 1, "not valid YAML: nested too deeply"))
        return document
    if node is not None:
        document.value = _value(node, (), document, ())
    return document


def read_scalar(text: str) -> Any:
    """The value of one `--set`: as after a colon in the file. Raises ValueError."""
    # A bare expression may hold ": " or "# ", which YAML would read as structure; what is no YAML value is text.
    document = read_document(text)
    if document.problems:
        if text.lstrip()[:1] in "[{":
            raise ValueError(document.problems[0][2])
        return text
    return document.value


def _value(node: yaml.Node, path: Path, document: Document, above: tuple[int, ...]) -> Any:
    line = node.start_mark.line + 1
    document.lines.setdefault(path, line)
    document.parts += 1
    if document.parts > _PARTS:
        if document.parts == _PARTS + 1:
            document.problems.append((path, line, f"more than {_PARTS:,} values, aliases counted as often as they stand"))
        return None
    if id(node) in above:
        document.problems.append((path, line, "an alias inside its own anchor"))
        return None
    if len(above) > _DEPTH:
        document.problems.append((path, line, f"nested more than {_DEPTH} levels deep"))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document, (*above, id(node)))
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, str(at)), document, (*above, id(node))) for at, item in enumerate(node.value)]
    return _scalar(node, path, document)


def _mapping(node: yaml.MappingNode, path: Path, document: Document, above: tuple[int, ...]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    last = ""
    torn: set[str] = set()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if node.flow_style and _is_rest(key_node, value_node, result.get(last)):
            result[last] += f", {key_node.value}"
            torn.add(last)
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append((path, line, "a key must be a plain word"))
            continue
        key = str(key_node.value)
        inner = (*path, key)
        if key in result:
            document.problems.append((inner, line, f"key {key!r} appears twice; the first is on line {document.lines[inner]}"))
            continue
        document.lines[inner] = line
        result[key] = _value(value_node, inner, document, above)
        last = key
    for key in torn:
        message = f"in {{ }} a comma ends the value: put it in quotes, {key}: {_quoted(result[key])}"
        document.problems.append(((*path, key), document.lines[*path, key], message))
    return result


def _is_rest(key: yaml.Node, value: yaml.Node, before: Any) -> bool:
    """Whether what looks like a key without a value is the rest of an expression: `{low: quantile(x, 0.1)}` has a comma in its brackets."""
    empty = isinstance(value, yaml.ScalarNode) and value.value == "" and value.style is None
    return empty and isinstance(key, yaml.ScalarNode) and isinstance(before, str) and before.count("(") > before.count(")")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _scalar(node: yaml.Node, path: Path, document: Document) -> Any:
    text = str(node.value)
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            if len(text) > _DIGITS:
                message = f"a whole number of {len(text):,} digits; at most {_DIGITS} are read"
                document.problems.append((path, node.start_mark.line + 1, message))
                return None
            return int(text)
        case "float":
            return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan"))
        case tag:
            document.problems.append((path, node.start_mark.line + 1, f"the YAML tag {tag} is not allowed here"))
            return None
