"""What every task of a batch is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from offbeat.core.plan import Plan


@dataclass(frozen=True, slots=True)
class Unit:
    """Files that are read as one, by one task; see `FileSource.units`."""

    paths: tuple[str, ...]
    numbers: tuple[int, ...]
    """Of these files, in the run."""
    bucket: int = -1
    """The bucket that all its rows belong to; -1 where a column holds their keys."""


@dataclass(frozen=True, slots=True)
class Job:
    """One batch."""

    plan: Plan
    buckets: int
    """Shards that keys are spread over, each folded by one task."""
    merges: int
    """Tasks that share the windows of views on other keys; 0 where there are none."""
    units: Sequence[Unit] = ()
    """Empty where rows come as a table."""
    files: Sequence[str] = ("table",)
    headers: Sequence[str | None] = (None,)
    keep_raw: bool = False
    """Whether the original text of rows is asked for, as of those set aside."""
    alerts: bool = True
    """Whether somebody takes the alerts."""
    outputs: dict[str, str] = field(default_factory=dict)
    """By kind of record and number (`alerts/0`), a path in the folder where tasks leave their parts."""

    def wants(self, kind: str) -> bool:
        """Whether some output takes records of a kind."""
        return any(name.startswith(f"{kind}/") for name in self.outputs)

    @property
    def keyed_by_file(self) -> bool:
        """Whether the rows of a file all belong to one bucket, so that a task reads what it folds."""
        return bool(self.units) and all(unit.bucket >= 0 for unit in self.units)

    @property
    def unordered(self) -> bool:
        """Whether rows have no order of their own."""
        return not self.units
