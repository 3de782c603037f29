"""Changing values in the text of a pipeline file, so that all else stays as people wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from offbeat.errors import UserError
from offbeat.spec.document import read_document

Path = tuple[str, ...]


def edited(text: str, changes: Mapping[Path, Any]) -> str:
    """The text with the values at these paths; a setting that is not there yet is added to its mapping.

    Raises UserError where a value stands in an alias or does not stand in the text.
    """
    for path, value in changes.items():
        text = _changed(text, path, value)
    return text


def _changed(text: str, path: Path, value: Any) -> str:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        raise UserError("a pipeline file is a mapping")
    for place, name in enumerate(path):
        inner = _child(node, name)
        if inner is None:
            if place < len(path) - 1 or not isinstance(node, yaml.MappingNode):
                raise UserError(f"{'.'.join(path)} does not stand in the file")
            return _added(text, node, name, value)
        node = inner
    if not isinstance(node, yaml.ScalarNode):
        raise UserError(f"{'.'.join(path)} is no single value in the file")
    start, end = node.start_mark.index, node.end_mark.index
    written = text[start:end]
    tail = len(written) - len(written.rstrip())
    return text[:start] + _spelled(value, flow=_in_flow(text, node)) + text[end - tail :]


def _child(node: yaml.Node, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if isinstance(key, yaml.ScalarNode) and key.value == name), None)


def _added(text: str, node: yaml.MappingNode, name: str, value: Any) -> str:
    if node.flow_style:
        end = node.end_mark.index - 1
        while text[end - 1] in " \n":
            end -= 1
        return f"{text[:end]}, {name}: {_spelled(value, flow=True)}{text[end:]}"
    first, (_, last) = node.value[0][0], node.value[-1]
    line_end = text.find("\n", last.end_mark.index)
    # The mark of a block's end lies on the line after it.
    at = last.end_mark.index if last.end_mark.column == 0 else (len(text) if line_end < 0 else line_end + 1)
    if isinstance(last, yaml.CollectionNode) and not last.flow_style:
        at = last.end_mark.index - last.end_mark.column
    head = text[:at] if not at or text[at - 1] == "\n" else text[:at] + "\n"
    return f"{head}{' ' * first.start_mark.column}{name}: {_spelled(value, flow=False)}\n{text[at:]}"


def _in_flow(text: str, node: yaml.ScalarNode) -> bool:
    line = text[text.rfind("\n", 0, node.start_mark.index) + 1 : node.start_mark.index]
    return line.count("{") > line.count("}") or line.count("[") > line.count("]")


def _spelled(value: Any, *, flow: bool) -> str:
    if not isinstance(value, str):
        return repr(value)
    document = read_document(f"{{x: {value}}}" if flow else f"x: {value}")
    if not document.problems and document.value == {"x": value}:
        return value
    return "'" + value.replace("'", "''") + "'"
