"""The one door to Numba: every kernel is compiled the same way, kept on disk where it can be, and runs without the interpreter's lock.

A compiled kernel is looked for beside the package, then in the user's cache. It is kept in the first of the two that can be written; where
neither can, it lives in memory until the process ends. NUMBA_CACHE_DIR, where it is set, stands in place of both.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:

    class CompileResultCacheImpl:
        """What is used of Numba's class of this name."""

        _locator_classes: list[Any]

        def __init__(self, py_func: Any) -> None: ...

    class FunctionCache:
        """What is used of Numba's class of this name."""

        _impl_class: Callable[[Any], CompileResultCacheImpl]

        def __init__(self, py_func: Any) -> None: ...

        def load_overload(self, sig: Any, target_context: Any) -> Any: ...

        def save_overload(self, sig: Any, data: Any) -> None: ...

        def flush(self) -> None: ...

else:
    _caching = import_module("numba.core.caching")
    CompileResultCacheImpl, FunctionCache = _caching.CompileResultCacheImpl, _caching.FunctionCache

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = Path(__file__).parents[1]
_OTHERS = stat.S_IWOTH
_numba: Any = import_module("numba")


def _stamp() -> str:
    """Names the content of the package's sources that have kernels.

    Numba renews a kept kernel only when its own file changes, and would go on with an old copy of a kernel that it calls in another.
    """
    stamp = blake2b(digest_size=8)
    for file in sorted(_PACKAGE.rglob("*.py")):
        source = file.read_bytes()
        if b"@compiled" in source:
            stamp.update(f"{file.relative_to(_PACKAGE)} {len(source)}\n".encode() + source)
    return f"kernels-{stamp.hexdigest()}"


def _own_cache() -> Path | None:
    """The user's folder for what can be made again; None where there is no such place, or where somebody else could write."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "offbeat"
        found = folder.stat()
    except FileNotFoundError:
        return folder  # made when there is something to keep
    except (OSError, RuntimeError):  # RuntimeError: nobody knows where this user's home is
        return None
    # Kernels are loaded as code: whoever can put a file there runs as this user.
    safe = found.st_uid in {0, os.geteuid()} and not found.st_mode & _OTHERS
    return folder if safe else None


@cache
def folders() -> tuple[Path, ...]:
    """Where kernels are looked for, and kept in the first that can be written."""
    name = _stamp()
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return (Path(chosen) / name,)
    beside = _PACKAGE / "__pycache__"
    for old in beside.glob("kernels-*"):
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)
    own = _own_cache()
    return (beside / name,) if own is None else (beside / name, own / name)


def can_keep() -> bool:
    """Whether what is compiled now is there at the next start."""
    for folder in folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".{os.getpid()}"
            probe.touch()
            probe.unlink()
            return True
    return False


def is_kept(kernel: Any) -> bool:
    """Whether a kernel was compiled at an earlier start, for whatever types."""
    function = kernel.py_func
    return any(any(_home(folder, function).glob(f"*.{function.__qualname__}-*.nbi")) for folder in folders())


def _home(folder: Path, function: Any) -> Path:
    """The folder of one file's kernels."""
    return folder / "-".join(Path(function.__code__.co_filename).relative_to(_PACKAGE).with_suffix("").parts)


class _Locator:
    """One folder as Numba wants to know it; nothing is written before there is something to keep."""

    def __init__(self, folder: Path, function: Any) -> None:
        self._folder = _home(folder, function)
        self._py_file = function.__code__.co_filename
        self._line = function.__code__.co_firstlineno

    def from_function(self, *_: object) -> _Locator:
        return self

    def ensure_cache_path(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._folder.parent.name

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    def __init__(self, function: Any, folder: Path) -> None:
        self._locator_classes = [_Locator(folder, function)]
        super().__init__(function)


class _InFolder(FunctionCache):
    """The compiled forms of one kernel in one folder."""

    def __init__(self, function: Any, folder: Path) -> None:
        self._impl_class = lambda py_func: _Implementation(py_func, folder)
        super().__init__(function)


class _Kept:
    """The compiled forms of one kernel, wherever they are; what Numba calls the cache of a dispatcher. A disk never stops a run."""

    def __init__(self, function: Any) -> None:
        self._places = [_InFolder(function, folder) for folder in folders()]
        self.cache_path = str(_home(folders()[0], function))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The form for a signature; None where it must be compiled."""
        for place in self._places:
            try:
                found = place.load_overload(sig, target_context)
            except OSError:
                continue
            except Exception:  # a power cut may have left a half-written file, which can fail in any way: compile again
                with suppress(OSError):
                    place.flush()
                continue
            if found is not None:
                return found
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a form in the first folder that takes it."""
        for place in self._places:
            with suppress(OSError):
                place.save_overload(sig, data)
                return


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on first call for its argument types; never with fast-math, so results do not depend on the CPU [S11]."""
    kernel: Any = _numba.njit(nogil=True, error_model="numpy")(function)
    kernel._cache = _Kept(function)
    made: Callable[P, R] = kernel
    return made


def compiled_inner(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that only kernels call, and that makes no array.

    Numba counts the references to every array that a function is given, by atomic operations that can cost more than the function does
    (numba issues 2345, 2350); here it does not.
    """
    kernel: Any = _numba.njit(nogil=True, error_model="numpy", _nrt=False)(function)
    kernel._cache = _Kept(function)
    made: Callable[P, R] = kernel
    return made


_elsewhere: list[Callable[[], object]] = []


def compiled_elsewhere(wait: Callable[[], object]) -> None:
    """Another process is compiling kernels into the same cache; `wait` returns when it is done."""
    _elsewhere.append(wait)


def settle() -> None:
    """Wait for what is compiled elsewhere: called before its first use here."""
    while _elsewhere:
        _elsewhere.pop()()
