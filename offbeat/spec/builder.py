"""Making a Program: equal operations are computed once, and work registers are used again."""

from __future__ import annotations

from offbeat.core.expression_program import Op, Program


class Builder:
    """Collects inputs, constants and operations; `finish` numbers the registers.

    Until then every value has a handle: its place in the list of all inputs, constants and results.
    """

    def __init__(self) -> None:
        self._inputs: dict[str, int] = {}
        self._constants: dict[str, int] = {}
        self._values: list[float] = []
        self._code: list[tuple[Op, int, int, int]] = []
        self._known: dict[tuple[int, ...], int] = {}
        self._handles = 0

    def _new(self) -> int:
        self._handles += 1
        return self._handles - 1

    def input(self, name: str) -> int:
        """Handle of the input `name`."""
        if name not in self._inputs:
            self._inputs[name] = self._new()
        return self._inputs[name]

    def constant(self, value: float) -> int:
        """Handle of a constant; NaN is null."""
        # NaN ≠ NaN and -0.0 = 0.0, so the bits are the key.
        key = value.hex()
        if key not in self._constants:
            self._constants[key] = self._new()
            self._values.append(value)
        return self._constants[key]

    def apply(self, op: Op, a: int, b: int | None = None) -> int:
        """Handle of `a op b`; unary operations take no b."""
        other = a if b is None else b
        key = (op, a, other)
        if key not in self._known:
            self._known[key] = self._new()
            self._code.append((op, a, other, self._known[key]))
        return self._known[key]

    def pick(self, condition: int, then: int, otherwise: int) -> int:
        """Handle of `then` where the condition is true, else `otherwise`."""
        key = (Op.PICK, condition, then, otherwise)
        if key not in self._known:
            # PICK overwrites its condition, which others may still need: COALESCE(c, c) is a copy of it.
            self._known[key] = self._new()
            self._code.append((Op.COALESCE, condition, condition, self._known[key]))
            self._code.append((Op.PICK, then, otherwise, self._known[key]))
        return self._known[key]

    def finish(self, outputs: list[int]) -> Program:
        """The program with these handles as outputs; what none of them needs is left out."""
        code = self._needed(outputs)
        register = {handle: number for number, handle in enumerate([*self._inputs.values(), *self._constants.values()])}
        last = {handle: at for at, (_, a, b, dst) in enumerate(code) for handle in (a, b, dst)}
        last.update(dict.fromkeys(outputs, len(code)))
        count, free, live, numbered = len(register), list[int](), set[int](), []
        for at, (op, a, b, dst) in enumerate(code):
            # Only what was read for the last time before this operation is free: the kernel may write dst while it reads a and b.
            for handle in sorted(handle for handle in live if last[handle] < at):
                live.discard(handle)
                free.append(register[handle])
            if dst not in live:
                register[dst] = free.pop() if free else count
                count = max(count, register[dst] + 1)
                live.add(dst)
            numbered.append((int(op), register[a], register[b], register[dst]))
        return Program(tuple(self._inputs), tuple(self._values), tuple(numbered), count, tuple(register[handle] for handle in outputs))

    def _needed(self, outputs: list[int]) -> list[tuple[Op, int, int, int]]:
        wanted, kept = set(outputs), []
        for operation in reversed(self._code):
            _, a, b, dst = operation
            if dst in wanted:
                wanted |= {a, b}
                kept.append(operation)
        return kept[::-1]
