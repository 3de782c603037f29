"""SQL text → a small syntax tree, and back to one canonical text.

sqlglot parses, in a dialect cut down to the language of docs/definitions.md: only these keywords exist, so `open`, `set` or `first`
are plain names, and no function is known to the parser, so none is renamed or rewritten (as `NVL` to `COALESCE`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parser import Parser as SqlParser
from sqlglot.tokenizer_core import TokenType
from sqlglot.tokens import Tokenizer as SqlTokenizer

_WORDS = "AND BETWEEN CASE DISTINCT ELSE END FALSE IN IS LIKE NOT NULL OR THEN TRUE WHEN <> != >= <= || ::"
_KEYWORDS = frozenset(_WORDS.split())
_BINARY: dict[type[exp.Expression], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.And: "and",
    exp.Or: "or",
}
_STRENGTH = {"or": 1, "and": 2, "not": 3, "=": 4, "<>": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "is null": 6, "between": 6, "in": 6, "like": 6}
_STRENGTH |= {"+": 7, "-": 7, "*": 8, "/": 8, "%": 8, "neg": 9}
_ATOM = 10
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ExpressionError(ValueError):
    """An expression that is not in the language; `problems` holds one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Language(Dialect):
    class Tokenizer(SqlTokenizer):
        KEYWORDS: ClassVar[dict[str, TokenType]] = {word: kind for word, kind in SqlTokenizer.KEYWORDS.items() if word in _KEYWORDS}
        COMMANDS: ClassVar[set[TokenType]] = set()

    class Parser(SqlParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CASE": SqlParser.NO_PAREN_FUNCTION_PARSERS["CASE"]}


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression."""

    op: str
    """An operator; `case` (conditions and values in turn, the default last), `call`, `star`, `distinct`; or a leaf: number, text, true,
    false, null, name, quoted (a name in double quotes)."""
    args: tuple[Node, ...] = ()
    value: str = ""
    """Name of the function or column, the text, or the number as it was written."""


def parse(text: str) -> Node:
    """The tree of one expression; raises ExpressionError when it is not one."""
    if not text.strip():
        raise ExpressionError(["the expression is empty"])
    language = _Language()
    try:
        tokens = language.tokenize(text)
        for token in tokens:
            if token.comments:
                # `a --b` would silently be `a`: a double minus must not become a comment.
                raise ExpressionError(["-- and /* begin a comment in SQL, which an expression cannot hold; write - -x for a double minus"])
            if token.text == "!":
                raise ExpressionError(["'!' is not part of the language; write NOT"])
            if token.token_type is TokenType.SEMICOLON:
                raise ExpressionError(["one expression only: ';' is not part of the language"])
        trees = language.parser().parse_into(exp.Condition, tokens, text)
        if len(trees) != 1 or trees[0] is None:
            raise ExpressionError(["one expression is needed"])
        return _convert(trees[0])
    except ParseError as error:
        raise ExpressionError([_position(error, text)]) from None
    except SqlglotError as error:
        raise ExpressionError([f"cannot be read: {str(error).splitlines()[0]}"]) from None
    except RecursionError:
        raise ExpressionError(["the expression is too deep; use IN for long lists, or several features"]) from None


def _position(error: ParseError, text: str) -> str:
    found: dict[str, Any] = error.errors[0] if error.errors else {}
    word = str(found.get("highlight") or "")
    if found.get("col") is None or (found["col"] >= len(text) and "missing" in str(found.get("description"))):
        return f"the expression ends too early, after {word!r}"
    if "Required keyword" in str(found.get("description")):
        return f"something is missing after {word!r}" if text.rstrip().endswith(word) else f"cannot be read near {word!r}"
    before = str(found.get("start_context") or "").split()
    place = f", after {before[-1]!r}" if before else ""
    return f"cannot be read at {word!r}{place}"


def _convert(tree: Any) -> Node:
    kind = type(tree)
    if kind in _BINARY:
        return Node(_BINARY[kind], (_convert(tree.this), _convert(tree.expression)))
    match tree:
        case exp.Paren():
            return _convert(tree.this)
        case exp.Literal():
            return Node("text", value=str(tree.this)) if tree.is_string else _number(str(tree.this))
        case exp.Boolean():
            return Node("true" if tree.this else "false")
        case exp.Null():
            return Node("null")
        case exp.Neg():
            return Node("neg", (_convert(tree.this),))
        case exp.Not():
            return Node("not", (_convert(tree.this),))
        case exp.Is() if isinstance(tree.expression, exp.Null):
            return Node("is null", (_convert(tree.this),))
        case exp.Is():
            raise ExpressionError(["IS is only for IS NULL and IS NOT NULL"])
        case exp.Between() if not tree.args.get("symmetric"):
            return Node("between", (_convert(tree.this), _convert(tree.args["low"]), _convert(tree.args["high"])))
        case exp.Like():
            like = Node("like", (_convert(tree.this), _convert(tree.expression)))
            return Node("not", (like,)) if tree.args.get("negate") else like
        case exp.In():
            if not tree.expressions:
                raise ExpressionError(["IN needs a list of values in brackets"])
            return Node("in", (_convert(tree.this), *(_convert(item) for item in tree.expressions)))
        case exp.Case():
            return _case(tree)
        case exp.Anonymous():
            return Node("call", tuple(_convert(item) for item in tree.expressions), str(tree.this).lower())
        case exp.Distinct() if len(tree.expressions) == 1:
            return Node("distinct", (_convert(tree.expressions[0]),))
        case exp.Star():
            return Node("star")
        case exp.Column() if isinstance(tree.this, exp.Identifier) and not tree.args.get("table"):
            return _name(tree.this)
        case exp.Column() | exp.Dot():
            raise ExpressionError(["names have no dots; write the name of the feature or column alone"])
        case exp.DPipe() | exp.Cast():
            raise ExpressionError([f"{'||' if isinstance(tree, exp.DPipe) else '::'} is not part of the language"])
        case _:
            raise ExpressionError([f"{str(tree)!r} is not part of the language"])


def _name(identifier: exp.Identifier) -> Node:
    name = str(identifier.this)
    if not identifier.args.get("quoted") and _PLAIN.fullmatch(name) is None:
        raise ExpressionError([f"{name!r} is not a name"])
    return Node("quoted" if identifier.args.get("quoted") else "name", value=name)


def _number(text: str) -> Node:
    if not math.isfinite(float(text)):
        raise ExpressionError([f"{text} is too large"])
    return Node("number", value=text)


def _case(tree: exp.Case) -> Node:
    subject = tree.args.get("this")
    parts: list[Node] = []
    for branch in tree.args["ifs"]:
        condition = _convert(branch.this)
        parts.append(condition if subject is None else Node("=", (_convert(subject), condition)))
        parts.append(_convert(branch.args["true"]))
    default = tree.args.get("default")
    parts.append(Node("null") if default is None else _convert(default))
    return Node("case", tuple(parts))


def chosen(node: Node) -> Node:
    """The value of `CASE WHEN condition THEN value END`, which is that value or null; any other expression as it is."""
    return node.args[1] if node.op == "case" and len(node.args) == 3 and node.args[2].op == "null" else node


def canonical(node: Node, within: int = 0) -> str:
    """The expression in one spelling: spaces, brackets and case no longer differ where the meaning does not."""
    strength = _STRENGTH.get(node.op, _ATOM)
    text = _spelled(node, strength)
    return f"({text})" if strength < within else text


def _spelled(node: Node, strength: int) -> str:
    op, args = node.op, node.args
    if op in {"name", "quoted"}:
        return node.value if _PLAIN.fullmatch(node.value) else '"' + node.value.replace('"', '""') + '"'
    if op == "number":
        value = float(node.value)
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if op == "text":
        return "'" + node.value.replace("'", "''") + "'"
    if op in {"true", "false", "null"}:
        return op.upper()
    if op == "star":
        return "*"
    if op == "distinct":
        return f"DISTINCT {canonical(args[0])}"
    if op == "call":
        return f"{node.value}({', '.join(canonical(arg) for arg in args)})"
    if op == "neg":
        inner = canonical(args[0], strength)
        return f"- {inner}" if inner.startswith("-") else f"-{inner}"
    if op == "not":
        if args[0].op == "is null":
            return f"{canonical(args[0].args[0], 7)} IS NOT NULL"
        return f"NOT {canonical(args[0], strength)}"
    if op == "is null":
        return f"{canonical(args[0], 7)} IS NULL"
    if op == "between":
        return f"{canonical(args[0], 7)} BETWEEN {canonical(args[1], 7)} AND {canonical(args[2], 7)}"
    if op == "in":
        return f"{canonical(args[0], 7)} IN ({', '.join(canonical(arg) for arg in args[1:])})"
    if op == "like":
        return f"{canonical(args[0], 7)} LIKE {canonical(args[1], 7)}"
    if op == "case":
        branches = " ".join(f"WHEN {canonical(args[i])} THEN {canonical(args[i + 1])}" for i in range(0, len(args) - 1, 2))
        return f"CASE {branches} ELSE {canonical(args[-1])} END"
    spelled = op.upper()
    return f"{canonical(args[0], strength)} {spelled} {canonical(args[1], strength + 1)}"
