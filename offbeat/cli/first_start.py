"""The first start after an installation compiles the kernels, which takes a while, and says so."""

from __future__ import annotations

from multiprocessing import get_context
from typing import Any

from offbeat.cli.say import say
from offbeat.core.plan import ModelPlan, Plan, PopulationPlan


def tell_of_compiling(kernel: Any = None, seconds: int = 15) -> None:
    """Say on standard error that this start takes longer, where `kernel` was not compiled before."""
    from offbeat.core.compiled import can_keep, folders, is_kept

    if is_kept(kernel):
        return
    if can_keep():
        say(f"first start: compiling takes about {seconds} s; later starts take a second")
    else:
        tried = " or ".join(str(folder.parent) for folder in folders())
        say(f"compiling, about {seconds} s at every start: {tried} cannot be written; set XDG_CACHE_HOME to a folder that can")


def prepare(*plans: Plan) -> None:
    """Before a run: where nothing is compiled yet, say so, and have another process compile what trained detectors need."""
    from offbeat.core.compiled import can_keep, is_kept
    from offbeat.detectors.spec import detector_types
    from offbeat.features import kernels

    if is_kept(kernels.fold):
        return
    tell_of_compiling(kernels.fold, 20)
    trained = {d.type for plan in plans for view in plan.views for d in view.detectors if isinstance(d, ModelPlan | PopulationPlan)}
    types = sorted(trained.intersection(detector_types()))  # other packages' have no kernels of ours
    if types and can_keep():
        from offbeat.core.compiled import compiled_elsewhere
        from offbeat.detectors.trained.warm_up import first_fits

        # Whatever goes wrong there, this process compiles for itself.
        other = get_context("spawn").Process(target=first_fits, args=(types,), daemon=True)
        other.start()
        compiled_elsewhere(other.join)
