"""The one door to Numba: every kernel is compiled the same way, cached on disk, and runs without the interpreter's lock."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = Path(__file__).parents[1]
_numba: Any = import_module("numba")


def _cache_directory() -> Path:
    """Where compiled kernels are kept, named by the content of the package's sources that have any.

    Numba renews a cached kernel only when its own file changes, and would go on with an old copy of a kernel that it calls in another.
    """
    stamp = blake2b(digest_size=8)
    for file in sorted(_PACKAGE.rglob("*.py")):
        source = file.read_bytes()
        if b"@compiled" in source:
            # Numba itself looks at the time of change: a kernel is no longer found when only that differs.
            stamp.update(f"{file.relative_to(_PACKAGE)} {file.stat().st_mtime_ns}\n".encode() + source)
    name = f"kernels-{stamp.hexdigest()}"
    beside = _PACKAGE / "__pycache__"
    try:
        beside.mkdir(exist_ok=True)
        writable = os.access(beside, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return Path(home) / "offbeat" / name
    for old in beside.glob("kernels-*"):
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)
    return beside / name


if not os.environ.get("NUMBA_CACHE_DIR"):
    _numba.config.CACHE_DIR = str(_cache_directory())


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on first call for its argument types; never with fast-math, so results do not depend on the CPU [S11]."""
    kernel: Callable[P, R] = _numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return kernel


def compiled_inner(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that only kernels call, and that makes no array.

    Numba counts the references to every array that a function is given, by atomic operations that can cost more than the function does
    (numba issues 2345, 2350); here it does not.
    """
    kernel: Callable[P, R] = _numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)
    return kernel


_elsewhere: list[Callable[[], object]] = []


def compiled_elsewhere(wait: Callable[[], object]) -> None:
    """Another process is compiling kernels into the same cache; `wait` returns when it is done."""
    _elsewhere.append(wait)


def settle() -> None:
    """Wait for what is compiled elsewhere: called before its first use here."""
    while _elsewhere:
        _elsewhere.pop()()
