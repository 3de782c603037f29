"""Runs a `Program` over rows: one compiled kernel for all expressions, a block of rows at a time so that registers stay in the cache."""

from __future__ import annotations

import math

import numpy as np

from offbeat.core.batch import F64, I64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.expression_program import Op, Program
from offbeat.core.logarithms import asinh, ln

_BLOCK = 512
_MAX = float(np.finfo(np.float64).max)
_ADD, _SUB, _MUL, _DIV, _MOD = int(Op.ADD), int(Op.SUB), int(Op.MUL), int(Op.DIV), int(Op.MOD)
_NEG, _ABS, _SQRT, _FLOOR, _CEIL, _SIGN = int(Op.NEG), int(Op.ABS), int(Op.SQRT), int(Op.FLOOR), int(Op.CEIL), int(Op.SIGN)
_LEAST, _GREATEST = int(Op.LEAST), int(Op.GREATEST)
_EQ, _NE, _LT, _LE, _GT, _GE = int(Op.EQ), int(Op.NE), int(Op.LT), int(Op.LE), int(Op.GT), int(Op.GE)
_AND, _OR, _NOT, _IS_NULL = int(Op.AND), int(Op.OR), int(Op.NOT), int(Op.IS_NULL)
_COALESCE, _NULLIF, _PICK = int(Op.COALESCE), int(Op.NULLIF), int(Op.PICK)
_LN, _ASINH = int(Op.LN), int(Op.ASINH)


@compiled
def _arithmetic(op: int, a: F64, b: F64, d: F64, m: int) -> None:
    if op == _ADD:
        for j in range(m):
            d[j] = a[j] + b[j]
    elif op == _SUB:
        for j in range(m):
            d[j] = a[j] - b[j]
    elif op == _MUL:
        for j in range(m):
            d[j] = a[j] * b[j]
    elif op == _DIV:
        for j in range(m):
            d[j] = a[j] / b[j]
    elif op == _MOD:
        for j in range(m):
            d[j] = np.fmod(a[j], b[j]) if b[j] != 0.0 else np.nan
    # A result that is not finite is null (S7): 1/0 and an overflow alike.
    for j in range(m):
        d[j] = d[j] if abs(d[j]) <= _MAX else np.nan


@compiled
def _unary(op: int, a: F64, d: F64, m: int) -> None:
    if op == _NEG:
        for j in range(m):
            d[j] = -a[j]
    elif op == _ABS:
        for j in range(m):
            d[j] = abs(a[j])
    elif op == _SQRT:
        for j in range(m):
            d[j] = math.sqrt(a[j]) if a[j] >= 0.0 else np.nan
    elif op == _FLOOR:
        for j in range(m):
            d[j] = np.floor(a[j])
    elif op == _CEIL:
        for j in range(m):
            d[j] = np.ceil(a[j])
    elif op == _SIGN:
        for j in range(m):
            d[j] = 1.0 if a[j] > 0.0 else (-1.0 if a[j] < 0.0 else (0.0 if a[j] == 0.0 else np.nan))
    elif op == _NOT:
        for j in range(m):
            d[j] = 1.0 - a[j]
    elif op == _IS_NULL:
        for j in range(m):
            d[j] = 1.0 if a[j] != a[j] else 0.0
    elif op == _LN:
        for j in range(m):
            d[j] = ln(a[j])
    elif op == _ASINH:
        for j in range(m):
            d[j] = asinh(a[j])


@compiled
def _compare(op: int, a: F64, b: F64, d: F64, m: int) -> None:
    if op == _EQ:
        for j in range(m):
            d[j] = 1.0 if a[j] == b[j] else 0.0
    elif op == _NE:
        for j in range(m):
            d[j] = 1.0 if a[j] != b[j] else 0.0
    elif op == _LT:
        for j in range(m):
            d[j] = 1.0 if a[j] < b[j] else 0.0
    elif op == _LE:
        for j in range(m):
            d[j] = 1.0 if a[j] <= b[j] else 0.0
    elif op == _GT:
        for j in range(m):
            d[j] = 1.0 if a[j] > b[j] else 0.0
    else:
        for j in range(m):
            d[j] = 1.0 if a[j] >= b[j] else 0.0
    for j in range(m):
        d[j] = d[j] if a[j] == a[j] and b[j] == b[j] else np.nan


@compiled
def _select(op: int, a: F64, b: F64, d: F64, m: int) -> None:
    if op == _AND:
        for j in range(m):
            d[j] = 0.0 if a[j] == 0.0 or b[j] == 0.0 else a[j] * b[j]
    elif op == _OR:
        for j in range(m):
            d[j] = 1.0 if a[j] == 1.0 or b[j] == 1.0 else a[j] + b[j]
    elif op == _LEAST:
        for j in range(m):
            d[j] = b[j] if a[j] != a[j] or b[j] < a[j] else a[j]
    elif op == _GREATEST:
        for j in range(m):
            d[j] = b[j] if a[j] != a[j] or b[j] > a[j] else a[j]
    elif op == _COALESCE:
        for j in range(m):
            d[j] = b[j] if a[j] != a[j] else a[j]
    elif op == _NULLIF:
        for j in range(m):
            d[j] = np.nan if a[j] == b[j] else a[j]
    elif op == _PICK:
        for j in range(m):
            d[j] = a[j] if d[j] == 1.0 else b[j]


@compiled
def _run(
    code: I64, constants: F64, rows: I64, read: Bools, columns: F64, features: F64, registers: int, outputs: I64, out: F64
) -> None:
    n = out.shape[1]
    k = columns.shape[0]
    inputs = len(rows)
    work = np.empty((registers, min(_BLOCK, n)))
    for c in range(len(constants)):
        work[inputs + c, :] = constants[c]
    for start in range(0, n, _BLOCK):
        m = min(_BLOCK, n - start)
        for r in range(inputs):
            source = rows[r]
            if not read[r]:
                continue
            if source < k:
                for j in range(m):
                    work[r, j] = columns[source, start + j]
            else:
                for j in range(m):
                    work[r, j] = features[source - k, start + j]
        for p in range(code.shape[0]):
            op = code[p, 0]
            a = work[code[p, 1]]
            b = work[code[p, 2]]
            d = work[code[p, 3]]
            if op <= _MOD:
                _arithmetic(op, a, b, d, m)
            elif op <= _SIGN or op in (_NOT, _IS_NULL, _LN, _ASINH):
                _unary(op, a, d, m)
            elif _EQ <= op <= _GE:
                _compare(op, a, b, d, m)
            else:
                _select(op, a, b, d, m)
        for o in range(len(outputs)):
            source = outputs[o]
            if source >= inputs:
                for j in range(m):
                    out[o, start + j] = work[source, j]
            elif rows[source] < k:
                for j in range(m):
                    out[o, start + j] = columns[rows[source], start + j]
            else:
                for j in range(m):
                    out[o, start + j] = features[rows[source] - k, start + j]


class Machine:
    """A program bound to the names of the matrices it reads.

    `columns` and `features` name the rows of the two matrices given to `run`; raises KeyError for an input that is in neither.
    """

    def __init__(self, program: Program, columns: tuple[str, ...], features: tuple[str, ...] = ()) -> None:
        place = {name: i for i, name in enumerate(columns + features)}
        self._rows = np.array([place[name] for name in program.inputs], np.int64)
        self._code = np.array(program.code, np.int64).reshape(-1, 4)
        self._constants = np.array(program.constants, np.float64)
        self._outputs = np.array(program.outputs, np.int64)
        self._read = np.zeros(len(program.inputs), np.bool_)
        for _, a, b, _ in program.code:
            self._read[[register for register in (a, b) if register < len(program.inputs)]] = True
        self._registers = max(program.registers, 1)
        self._only_inputs = not program.code and len(program.outputs) > 0 and max(program.outputs) < len(program.inputs)

    def run(self, columns: F64, features: F64 | None = None) -> F64:
        """Evaluate over (c, n) `columns` and (f, n) `features`; gives (outputs, n)."""
        n = columns.shape[1]
        if self._only_inputs and features is None:
            # Nothing to compute: the outputs are inputs.
            return columns[self._rows[self._outputs]]
        out = np.empty((len(self._outputs), n))
        if n and len(out):
            extra = features if features is not None else _NONE
            _run(self._code, self._constants, self._rows, self._read, columns, extra, self._registers, self._outputs, out)
        return out


_NONE: F64 = np.empty((0, 0))
