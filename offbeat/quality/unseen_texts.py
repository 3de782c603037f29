"""Texts that conditions ask for and that no row had: mostly another spelling than that of the data [R20]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

_MANY = 1000
"""After so many rows a text that did not come is worth a word, even where others of its column came."""
_VALUES = 5
"""Values that are shown."""
_LOOKED_AT = 1024
"""Rows of a chunk that are searched for values to show."""


@dataclass(slots=True)
class _Column:
    literals: tuple[str, ...]
    missing: list[str]
    rows: int = 0
    values: list[str] = field(default_factory=list)


class UnseenTexts:
    """Watches the rows of one shard. Costs nothing once every text has come."""

    def __init__(self, wanted: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """wanted: text columns and the texts that conditions compare them with."""
        self._columns = {name: _Column(literals, list(literals)) for name, literals in wanted if literals}

    def see(self, frame: pl.DataFrame) -> None:
        """Rows came."""
        for name, column in self._columns.items():
            if not column.missing:
                continue
            texts = frame[name]
            column.rows += len(texts) - texts.null_count()
            column.missing = [text for text in column.missing if not (texts == text).any()]
            if column.missing and len(column.values) < _VALUES:
                new = texts.head(_LOOKED_AT).drop_nulls().unique(maintain_order=True).to_list()
                column.values = list(dict.fromkeys([*column.values, *new]))[:_VALUES]

    def add_to(self, whole: UnseenTexts) -> None:
        """Add what this shard saw to what others did."""
        for name, column in self._columns.items():
            of = whole._columns[name]
            of.missing = [text for text in of.missing if text in column.missing]
            of.rows += column.rows
            of.values = list(dict.fromkeys([*of.values, *column.values]))[:_VALUES]

    def document(self) -> dict[str, list[Any]]:
        """What was seen, for the way to another process, as JSON."""
        return {name: [column.missing, column.rows, column.values] for name, column in self._columns.items()}

    def restore(self, document: dict[str, list[Any]]) -> None:
        """Take over what `document` gave, before any row."""
        for name, (missing, rows, values) in document.items():
            column = self._columns[name]
            column.missing, column.rows, column.values = missing, rows, values

    def words(self) -> list[str]:
        """A remark for each column of which no text came, or one did not although there were many rows."""
        return [
            f"no row has {_either(name, column.missing)}; values seen: {_shown(column.values)}"
            for name, column in self._columns.items()
            if column.values and column.missing and (len(column.missing) == len(column.literals) or column.rows >= _MANY)
        ]


def _either(name: str, texts: Sequence[str]) -> str:
    return f"{name} = {texts[0]!r}" if len(texts) == 1 else f"{name} IN ({', '.join(map(repr, texts))})"


def _shown(values: Sequence[str]) -> str:
    return ", ".join(map(repr, values)) + (", …" if len(values) == _VALUES else "")
