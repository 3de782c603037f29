"""The first start after an installation: the kernels are compiled once, which takes a while; a person is told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from offbeat.cli.say import say


def tell_of_compiling(kernel: Any = None, seconds: int = 15) -> None:
    """Say on standard error that this start takes longer, where `kernel` (default: the largest of a run) is not in Numba's cache."""
    if kernel is None:
        from offbeat.features import kernels

        kernel = kernels.fold
    source = Path(kernel.py_func.__code__.co_filename)
    cached = Path(kernel.stats.cache_path).glob(f"{source.stem}.{kernel.py_func.__name__}-*.nbi")
    if not any(index.stat().st_mtime >= source.stat().st_mtime for index in cached):
        say(f"first start: compiling once, about {seconds} s on an ordinary machine; later starts take a second")
