"""The first start after an installation compiles the kernels, which takes a while, and says so."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path
from typing import Any

from offbeat.cli.say import say
from offbeat.core.plan import ModelPlan, Plan, PopulationPlan


def tell_of_compiling(kernel: Any = None, seconds: int = 15) -> None:
    """Say on standard error that this start takes longer, where `kernel` is not in Numba's cache."""
    if not _cached(kernel):
        say(f"first start: compiling takes about {seconds} s; later starts take a second")


def prepare(*plans: Plan) -> None:
    """Before a run: where nothing is compiled yet, say so, and have another process compile what trained detectors need."""
    from offbeat.features import kernels

    if _cached(kernels.fold):
        return
    tell_of_compiling(kernels.fold, 20)
    types = sorted({d.type for plan in plans for view in plan.views for d in view.detectors if isinstance(d, ModelPlan | PopulationPlan)})
    if types:
        from offbeat.core.compiled import compiled_elsewhere
        from offbeat.detectors.trained.warm_up import first_fits

        # Whatever goes wrong there, this process compiles for itself.
        other = get_context("spawn").Process(target=first_fits, args=(types,), daemon=True)
        other.start()
        compiled_elsewhere(other.join)


def _cached(kernel: Any) -> bool:
    source = Path(kernel.py_func.__code__.co_filename)
    cached = Path(kernel.stats.cache_path).glob(f"{source.stem}.{kernel.py_func.__name__}-*.nbi")
    return any(index.stat().st_mtime >= source.stat().st_mtime for index in cached)
