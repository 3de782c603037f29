"""What a run tells while it goes on, and what it did."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from offbeat.core.ledger import Ledger
from offbeat.decide.block import AlertBlock
from offbeat.fold.episodes import Episodes


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    rows: int
    alerts: int
    done_bytes: int
    size_bytes: int | None
    behind: int | None = None
    """Records that wait in the topic; None where there is no such thing."""


@dataclass(slots=True)
class Run:
    """What a run did."""

    pipeline: str
    ledger: Ledger
    alerts: int
    """Alerts handed over by this run."""
    seconds: float
    complete: bool
    """Whether the input was read to its end; False after an interruption."""
    engine: str = "local"
    worst: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What a person should see first; part of the notes that `--json` prints."""
    below_quality: bool = False
    """Whether more rows were unfit than `quality.tolerate` allows."""
    notes: list[str] = field(default_factory=list)
    gaps: pl.DataFrame | None = None
    blocks: list[AlertBlock] = field(default_factory=list, repr=False)
    """The alerts themselves, where the caller asked to keep them."""
    look: Callable[[], Episodes] | None = field(default=None, repr=False)
    """Puts the alerts into episodes; None for a live run that was not asked for them. It takes a microsecond an alert."""
    tells_episodes: bool = False
    """Whether `--json` counts the episodes: where they were asked for, or where some alerts are muted."""
    rows_read: int = 0
    """Rows read by this run, whatever earlier ones with its state had read; some of them again, where a file was corrected."""

    @property
    def peak_memory_mb(self) -> float:
        """Most memory the process ever had, in MiB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        ledger = self.ledger.as_dict()
        views = ledger.pop("views")
        return {
            "pipeline": self.pipeline,
            "engine": self.engine,
            **ledger,
            "alerts": self.alerts,
            **({"episodes": self.look().counts()} if self.tells_episodes and self.look is not None else {}),
            "seconds": round(self.seconds, 3),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
            "complete": self.complete,
            "views": views,
            "notes": [*self.warnings, *self.notes],
        }
