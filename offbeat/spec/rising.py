"""Which conditions on a window of a rollup stay true once they are true: they allow early firing [S22].

A column rises when a further row of the window never makes it smaller, nor null once it has a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from offbeat.spec.expression import Named
from offbeat.spec.functions import CLOCK, canonical_name
from offbeat.spec.sql import Node, canonical, chosen

_MIRRORED = {"<": ">", "<=": ">="}
_KINDS = "a count, a maximum, or a sum of what a quality rule keeps at 0 or more"


@dataclass(frozen=True, slots=True)
class Rising:
    """What is known of a view's names, and the proofs that follow from it; each gives the reason why not, '' for a proof."""

    columns: Mapping[str, Node]
    """The rollup's columns."""
    current: frozenset[str]
    """Features of windows that hold the row being scored."""
    before: frozenset[str]
    """Features of windows of rows before it: they stay the same while the window is open."""
    scope: Mapping[str, Named]
    """The source's columns."""
    rules: tuple[Node, ...] = field(default=())
    """Conditions that every row fulfils or that are null for it."""

    def condition(self, tree: Node) -> str:
        """Whether a condition, once true, stays true within a window."""
        op, args = tree.op, tree.args
        if op in {"and", "or"}:
            return next((why for arg in args if (why := self.condition(arg))), "")
        if op in {">", ">="}:
            return self.value(args[0]) or self.settled(args[1])
        if op in _MIRRORED:
            return self.condition(Node(_MIRRORED[op], (args[1], args[0])))
        return f"`{canonical(tree)}` may stop holding; a rising value above a limit does not" if self.settled(tree) else ""

    def settled(self, tree: Node) -> str:
        """Whether a value is the same for as long as its window is open."""
        if tree.op in {"name", "quoted"} and tree.value not in self.before:
            if tree.value in self.current:
                return f"`{tree.value}` changes as rows come, as its window holds the row itself (`current: true`)"
            return f"`{tree.value}` changes as rows come, and a limit must not"
        return next((why for arg in tree.args if (why := self.settled(arg))), "")

    def value(self, tree: Node) -> str:
        """Whether a value of the view rises."""
        return "" if not self.settled(tree) else self._rises(tree, positive=False)

    def _rises(self, tree: Node, *, positive: bool) -> str:
        """The proof for what is not settled; `positive`: it must also never be negative."""
        op, args = tree.op, tree.args
        if op in {"name", "quoted"}:
            column = self.columns.get(tree.value)
            return self.settled(tree) if column is None else self._rises(column, positive=positive)
        if op == "call":
            return self._call(tree, positive=positive)
        if op == "+":
            return next((why for arg in args if (why := self._part(arg, positive=positive))), "")
        if op == "-" and not positive and not self.settled(args[1]):
            return self.value(args[0])
        if op == "*" and _above(args[0]):
            return self._rises(args[1], positive=positive)
        if op in {"*", "/"} and _above(args[1]):
            return self._rises(args[0], positive=positive)
        return f"`{canonical(tree)}` may fall as rows come; what rises is {_KINDS}"

    def _part(self, tree: Node, *, positive: bool) -> str:
        if tree.op == "number":
            return ""
        return self._rises(tree, positive=positive) if positive or self.settled(tree) else ""

    def _call(self, tree: Node, *, positive: bool) -> str:
        name = canonical_name(tree.value)
        if name == "count":
            argument = tree.args[0]
            clocked = chosen(argument.args[0]) if argument.op == "distinct" else argument
            if argument.op == "distinct" and not (clocked.op == "call" and clocked.value in CLOCK):
                return f"`{canonical(tree)}` is estimated for more than 256 values, so it may fall as rows come"
            return ""
        if name == "nullif" and tree.args[1].op == "number" and float(tree.args[1].value) == 0:
            return self._rises(tree.args[0], positive=True)  # from below zero it would be null on its way
        if name not in {"sum", "max"}:
            return f"`{canonical(tree)}` may fall as rows come; what rises is {_KINDS}"
        value = chosen(tree.args[0])
        column = self.scope.get(value.value) if value.op in {"name", "quoted"} else None
        if name == "max" and not positive:
            return ""
        if column is None:
            # A rollup sums columns and conditions only; whether the maximum of anything else is negative is not known.
            return "" if name == "sum" else f"`{canonical(tree)}` may be negative"
        if column.type == "truth" or any(not_negative(rule, value.value) for rule in self.rules):
            return ""
        falls = "may fall" if name == "sum" else "may be negative"
        return f"`{canonical(tree)}` {falls}, as no quality rule says `{canonical(value)} >= 0`"


def _above(node: Node) -> bool:
    return node.op == "number" and float(node.value) > 0


def not_negative(rule: Node, column: str) -> bool:
    """Whether rows that fulfil a rule have no negative value in a column."""
    if rule.op == "and":
        return any(not_negative(part, column) for part in rule.args)
    if rule.op in _MIRRORED:
        rule = Node(_MIRRORED[rule.op], (rule.args[1], rule.args[0]))
    if rule.op not in {">", ">="}:
        return False
    value, limit = rule.args
    return value.op in {"name", "quoted"} and value.value == column and limit.op == "number" and float(limit.value) >= 0
