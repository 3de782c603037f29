"""A Program run in plain Python, one row at a time: nothing shared with the compiled kernel. Null is None."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from oracle_logic import area_sine, logarithm

from offbeat.core.expression_program import Op, Program

Num = float | None


def run(program: Program, row: Mapping[str, Num]) -> list[Num]:
    """The outputs for one row; only the inputs are looked up in it."""
    registers: list[Num] = [row[name] for name in program.inputs]
    registers += [None if math.isnan(value) else value for value in program.constants]
    registers += [None] * (program.registers - len(registers))
    for op, a, b, dst in program.code:
        assert dst >= len(program.inputs) + len(program.constants), "inputs and constants are never written"
        registers[dst] = _step(Op(op), registers[a], registers[b], registers[dst])
    return [registers[output] for output in program.outputs]


def _step(op: Op, a: Num, b: Num, before: Num) -> Num:
    if op is Op.IS_NULL:
        return 1.0 if a is None else 0.0
    if op is Op.PICK:
        return a if before == 1.0 else b
    if op is Op.COALESCE:
        return b if a is None else a
    if op is Op.NULLIF:
        return None if a is not None and a == b else a
    if op is Op.AND:
        return 0.0 if 0.0 in (a, b) else None if a is None or b is None else 1.0
    if op is Op.OR:
        return 1.0 if 1.0 in (a, b) else None if a is None or b is None else 0.0
    if op in {Op.LEAST, Op.GREATEST}:
        known = [value for value in (a, b) if value is not None]
        return None if not known else min(known) if op is Op.LEAST else max(known)
    if a is None or b is None:
        return None
    return _strict(op, a, b)


def _strict(op: Op, a: float, b: float) -> Num:
    unary: dict[Op, Callable[[], Num]] = {
        Op.NEG: lambda: -a,
        Op.ABS: lambda: abs(a),
        Op.SQRT: lambda: math.sqrt(a) if a >= 0 else None,
        Op.FLOOR: lambda: float(math.floor(a)),
        Op.CEIL: lambda: float(math.ceil(a)),
        Op.SIGN: lambda: float((a > 0) - (a < 0)),
        Op.NOT: lambda: 1.0 - a,
        Op.LN: lambda: logarithm(a),
        Op.ASINH: lambda: area_sine(a),
    }
    comparison = {Op.EQ: a == b, Op.NE: a != b, Op.LT: a < b, Op.LE: a <= b, Op.GT: a > b, Op.GE: a >= b}
    if op in unary:
        return unary[op]()
    if op in comparison:
        return float(comparison[op])
    return arithmetic(op, a, b)


def arithmetic(op: Op, a: float, b: float) -> Num:
    """+ - * / % where nothing is null; what is not finite is null."""
    if b == 0 and op in {Op.DIV, Op.MOD}:
        return None
    results: dict[Op, Callable[[], float]] = {
        Op.ADD: lambda: a + b,
        Op.SUB: lambda: a - b,
        Op.MUL: lambda: a * b,
        Op.DIV: lambda: a / b,
        Op.MOD: lambda: math.fmod(a, b),
    }
    value = results[op]()
    return value if math.isfinite(value) else None
