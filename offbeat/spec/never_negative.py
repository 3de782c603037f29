"""Which values can never be negative, by what they are made of: counts, spreads, sums of what a quality rule keeps at 0 or more.

What is usual for such a value is not shown below 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from offbeat.spec.expression import Scope
from offbeat.spec.functions import canonical_name
from offbeat.spec.rising import not_negative
from offbeat.spec.sql import Node

_TRUTHS = frozenset({"=", "<>", "<", "<=", ">", ">=", "and", "or", "not", "is null", "between", "in", "true", "false", "null"})
_ALWAYS = frozenset({"abs", "sqrt", "count", "std", "var", "mad", "share", "span", "rate", "gap", "hour", "weekday", "ewstd", "still"})
_AS_ALL = frozenset({"floor", "ceil", "sign", "asinh", "least", "coalesce", "sum", "mean", "min", "max", "first", "last", "median"})
_AS_FIRST = frozenset({"nullif", "quantile"})


@dataclass(frozen=True, slots=True)
class Signs:
    """What the names of a view stand for."""

    named: Sequence[Mapping[str, Node]]
    """Features of the view's windows, then columns of its rollup: each is made of the names after it, and of the source's columns."""
    scope: Scope
    """The source's columns."""
    rules: tuple[Node, ...]
    """Conditions that every row fulfils, or that are null for it."""

    def never_negative(self, tree: Node, level: int = 0) -> bool:
        """Whether a value is 0 or more, or null, for whatever rows; `level`: how many of `named` are out of its sight."""
        op, args = tree.op, tree.args
        if op in _TRUTHS:
            return True
        if op == "number":
            return float(tree.value) >= 0
        if op in {"name", "quoted"}:
            return self._name(tree.value, level)
        if op in {"+", "*", "/"}:
            return all(self.never_negative(arg, level) for arg in args)
        if op == "%":  # takes the sign of the left side
            return self.never_negative(args[0], level)
        if op == "case":
            return all(self.never_negative(arg, level) for arg in (*args[1::2], args[-1]))
        return op == "call" and self._call(canonical_name(tree.value), args, level)

    def _name(self, name: str, level: int) -> bool:
        for deeper, meanings in enumerate(self.named[level:], start=level + 1):
            if name in meanings:
                return self.never_negative(meanings[name], deeper)
        column = self.scope.get(name)
        return column is not None and (column.type == "truth" or any(not_negative(rule, name) for rule in self.rules))

    def _call(self, function: str, args: Sequence[Node], level: int) -> bool:
        if function in _ALWAYS:
            return True
        if function == "greatest":
            return any(self.never_negative(arg, level) for arg in args)
        if function in _AS_FIRST:
            return self.never_negative(args[0], level)
        return function in _AS_ALL and all(self.never_negative(arg, level) for arg in args)
