"""offbeat: streaming anomaly detection for keyed event streams; it finds the events that break the rhythm."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from offbeat._version import __version__
from offbeat.errors import OffbeatError, SpecError, UserError

if TYPE_CHECKING:
    from offbeat.engines.notebook import Result, run
    from offbeat.spec.load import load_plan

__all__ = ["OffbeatError", "Result", "SpecError", "UserError", "__version__", "load_plan", "run"]

# Numba and Polars take a second to import: only what runs a pipeline pays for them.
_LAZY = {"Result": "offbeat.engines.notebook", "run": "offbeat.engines.notebook", "load_plan": "offbeat.spec.load"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'offbeat' has no attribute {name!r}")
