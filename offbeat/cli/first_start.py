"""The first start after an installation: the kernels are compiled once, which takes a while; a person is told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from offbeat.cli.say import say


def tell_of_compiling() -> None:
    """Say on standard error that this start takes longer, where the largest kernel is not in Numba's cache."""
    from offbeat.features import kernels

    fold: Any = kernels.fold
    source = Path(kernels.__file__)
    cached = Path(fold.stats.cache_path).glob(f"{source.stem}.fold-*.nbi")
    if not any(index.stat().st_mtime >= source.stat().st_mtime for index in cached):
        say("first start: compiling once, about 15 s on an ordinary machine; later starts take a second")
