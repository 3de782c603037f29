"""What expressions see of texts: codes of literals, matches of patterns, hashes; numbers all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from offbeat.core.batch import F64
from offbeat.core.hashing import words_of
from offbeat.core.plan import TextCodes, TextPart
from offbeat.core.text_codes import literal_codes

_WHOLE = np.uint64(2**53 - 1)
Texts = Callable[[str], pl.Series]
"""Gives the texts (n,) of a column, or of the key."""


class TextInputs:
    """The inputs of programs that are made of texts, in a fixed order."""

    def __init__(self, codes: TextCodes, parts: tuple[TextPart, ...], column: str = "") -> None:
        """codes, parts: as in a Plan; of `column` alone, if given."""
        named = {part.name: part for part in parts}
        own = [(name, literals) for name, literals in codes if not column or _column(name, named) == column]
        coded = [{literal: float(code) for code, literal in enumerate(literals)} for _, literals in own]
        self._coded = [(_column(name, named), named.get(name), literals) for (name, _), literals in zip(own, coded, strict=True)]
        self._others = [part for part in parts if part.kind != "prefix" and (not column or part.column == column)]
        self.names = (*(f"{name}@code" for name, _ in own), *(part.name for part in self._others))

    def __len__(self) -> int:
        return len(self.names)

    def read(self, texts: Texts, out: F64) -> None:
        """Fill `out` (inputs, n)."""
        for row, (column, part, literals) in enumerate(self._coded):
            text = texts(column)
            out[row] = literal_codes(text if part is None else text.str.head(part.length), literals)
        for row, part in enumerate(self._others, start=len(self._coded)):
            text = texts(part.column)
            if part.kind == "like":
                out[row] = _matches(text, part.pattern)
            else:
                out[row] = hashes(text.str.head(part.length) if part.length else text)


def _column(name: str, parts: dict[str, TextPart]) -> str:
    return parts[name].column if name in parts else name


def hashes(texts: pl.Series) -> F64:
    """(n,) whole numbers below 2^53 that stand for texts, NaN for null. Two texts have the same one with a chance of 1 in 9e15."""
    values: F64 = (words_of(texts) & _WHOLE).astype(np.float64)
    if texts.null_count():
        values[texts.is_null().to_numpy()] = np.nan
    return values


def _matches(texts: pl.Series, pattern: str) -> F64:
    """(n,) 1 where a text is like the whole pattern, 0 where not, NaN for null."""
    signs = {"%": ".*", "_": "."}
    spelled = "".join(signs.get(sign, "\\" + sign if sign.isascii() and not sign.isalnum() else sign) for sign in pattern)
    found: F64 = texts.str.contains(rf"(?s)\A(?:{spelled})\z").cast(pl.Float64).fill_null(np.nan).to_numpy(writable=True)
    return found
