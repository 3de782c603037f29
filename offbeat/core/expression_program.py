"""Scalar expressions as programs for a small register machine, run over blocks of rows by one compiled kernel.

A program is data, so it is compiled once, hashed into the plan, and gives the same bits on every engine: no operation here is anything but
correctly rounded IEEE 754 arithmetic, comparison or selection, or made of these alone (`logarithms`) [S11]. NaN is null.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class Op(IntEnum):
    """Operations: dst ← a op b (registers); unary ones ignore b."""

    ADD = 1
    SUB = 2
    MUL = 3
    DIV = 4
    MOD = 5
    NEG = 6
    ABS = 7
    SQRT = 8
    FLOOR = 9
    CEIL = 10
    SIGN = 11
    LEAST = 12  # skips nulls
    GREATEST = 13  # skips nulls
    EQ = 20
    NE = 21
    LT = 22
    LE = 23
    GT = 24
    GE = 25
    AND = 30  # Kleene
    OR = 31  # Kleene
    NOT = 32
    IS_NULL = 33
    COALESCE = 40  # a unless null, else b
    NULLIF = 41  # null where a = b, else a
    PICK = 42  # dst ← a where dst is 1.0, else b: CASE and IF (dst holds the condition before)
    LN = 50
    ASINH = 51


@dataclass(frozen=True, slots=True)
class Program:
    """One or several expressions over named inputs.

    Registers: first the inputs in the order of `inputs`, then the constants, then work registers; `registers` is their number.
    `code` holds (op, a, b, dst). `outputs` are the registers to read at the end.
    """

    inputs: tuple[str, ...]
    constants: tuple[float, ...]
    code: tuple[tuple[int, int, int, int], ...]
    registers: int
    outputs: tuple[int, ...]


NOTHING = Program((), (), (), 0, ())
"""Computes nothing."""

_CERTAIN = frozenset(
    {Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE, Op.AND, Op.OR, Op.NOT, Op.NEG, Op.ABS, Op.FLOOR, Op.CEIL, Op.SIGN, Op.ASINH}
)
"""Operations that give null only for nulls; sums and products may also overflow [S7]."""
_EITHER = frozenset({Op.LEAST, Op.GREATEST, Op.COALESCE})


def certain(program: Program, sure: Callable[[str], bool]) -> tuple[bool, ...]:
    """For each output, whether it can never be null; `sure` tells this of an input."""
    inputs, constants = len(program.inputs), len(program.constants)
    known = [sure(name) for name in program.inputs] + [x == x for x in program.constants]
    known += [False] * (max(program.registers, inputs + constants) - len(known))
    for op, a, b, target in program.code:
        if op in _CERTAIN:
            known[target] = known[a] and known[b]
        elif op in _EITHER:
            known[target] = known[a] or known[b]
        elif op == Op.PICK:
            known[target] = known[a] and known[b]
        else:
            known[target] = op == Op.IS_NULL
    return tuple(known[output] for output in program.outputs)


def inputs_of(program: Program) -> tuple[frozenset[str], ...]:
    """For each output, the inputs that it depends on."""
    registers = max(program.registers, len(program.inputs) + len(program.constants))
    known = [frozenset({name}) for name in program.inputs]
    known += [frozenset()] * (registers - len(known))
    for op, a, b, target in program.code:
        known[target] = known[a] | known[b] | (known[target] if op == Op.PICK else frozenset())
    return tuple(known[output] for output in program.outputs)
