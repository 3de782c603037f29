"""Scalar expressions as programs for a small register machine, run over blocks of rows by one compiled kernel.

A program is data, so it is compiled once, hashed into the plan, and gives the same bits on every engine: no operation here is anything but
correctly rounded IEEE 754 arithmetic, comparison or selection [S11]. NaN is null.
"""

from __future__ import annotations

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
    PICK = 42  # dst ← a where dst is 1.0, else b: CASE and IF (the condition is in dst before)


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
