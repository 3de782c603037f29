"""The one door to Numba: every kernel is compiled the same way, cached on disk, and runs without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_numba: Any = import_module("numba")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on first call for its argument types; never with fast-math, so results do not depend on the CPU [S11]."""
    kernel: Callable[P, R] = _numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return kernel
