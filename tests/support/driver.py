"""One or several shards and the merge, driven as an engine would: chunks in, alerts out, killed and restored at will."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from case import Case
from harness import Record, assert_same, chunk_of, comparable, plain_alerts, plain_set_aside
from oracle_spec import Row

from offbeat.core.plan import Plan
from offbeat.decide.block import AlertBlock, Quarantined
from offbeat.fold.fold import Fold
from offbeat.fold.shard import Output
from offbeat.spec.load import load_text


@cache
def _plan(name: str, text: str) -> Plan:
    return load_text(text, name).plan


def plan_of(case: Case) -> Plan:
    """The case's Plan, made once."""
    return _plan(case.name, case.text())


class Driver:
    """A bounded run of a case."""

    def __init__(self, case: Case, shards: int = 1) -> None:
        self.case = case
        self.fold = Fold(plan_of(case))
        for number in range(shards):
            self.fold.assign(number)
        self.blocks: list[AlertBlock] = []
        self.quarantined: list[Quarantined] = []

    @classmethod
    def restored(cls, case: Case, kept: list[bytes]) -> Driver:
        driver = cls(case, len(kept))
        driver.restart(kept)
        return driver

    def _take(self, output: Output) -> None:
        self.blocks += output.alerts
        self.quarantined += output.quarantined

    def feed(self, rows: Sequence[Row], shard: int = 0) -> None:
        self._take(self.fold.feed(shard, self.fold.prepare(shard, chunk_of(self.case.pipeline, rows))))

    def drain(self) -> None:
        self._take(self.fold.end())

    def snapshot(self) -> list[bytes]:
        return [self.fold.snapshot(number) for number in self.fold.shards]

    def restart(self, kept: list[bytes]) -> None:
        """Forget everything that is not in the snapshots."""
        self.fold = Fold(plan_of(self.case))
        for number, data in enumerate(kept):
            self.fold.assign(number, data)

    def alerts(self) -> list[Record]:
        return plain_alerts(self.blocks)

    def ledger(self) -> dict[str, Any]:
        """The sum over the shards; after `drain`, with the merged views decided."""
        for number in self.fold.shards:
            ledger = self.fold.shard_ledger(number)
            assert ledger.accounted() == ledger.rows_in
        ledger = self.fold.ledger
        assert ledger.accounted() == ledger.rows_in
        return comparable(ledger.as_dict(), self.case.pipeline)

    def assert_equals(self, other: Driver) -> None:
        """Same alerts to the last bit, same rows set aside, same ledger."""
        assert_same(self.alerts(), other.alerts())
        assert plain_set_aside(self.quarantined) == plain_set_aside(other.quarantined)
        assert self.ledger() == other.ledger()
        assert self.fold.ledger.as_dict() == other.fold.ledger.as_dict()
