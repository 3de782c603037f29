"""A live source of another package: judged as rows come, stopped between two chunks, and continued."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from command import STREAM

from offbeat.engines.local import LocalEngine
from offbeat.engines.run_result import Progress
from offbeat.extend import Chunk, Position, SourcePlan, UserError, chunk_of_records
from offbeat.io.read.alert_files import read_alerts
from offbeat.spec.load import load_text

PLAN = load_text(STREAM).plan


class Endless:
    """Three rows, then a pause, over and over; every tenth row is odd."""

    def __init__(self, plan: SourcePlan, last: int | None = None) -> None:
        self._plan, self._last = plan, last
        self.files, self.headers, self.notes = ["endless"], [None], list[str]()
        self.live = last is None

    def size_bytes(self) -> int | None:
        return None

    def done_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is open."""

    def chunks(self, start: Position | None) -> Iterator[Chunk]:
        if start is not None and "row" not in start:
            raise UserError("a place in another source")
        row = start["row"] if start else 0
        while self._last is None or row < self._last:
            rows = [{"k": "a", "t": f"2024-01-01T00:0{i // 60}:{i % 60:02d}Z", "v": 9 if i % 10 == 9 else 1} for i in range(row, row + 3)]
            row += len(rows)
            yield chunk_of_records(self._plan, rows, {"row": row}, first_row=row - 2)
            yield chunk_of_records(self._plan, [], {"row": row}, first_row=row + 1)


def test_stopped_and_continued(tmp_path: Path) -> None:
    for until in (30, 75):
        source = Endless(PLAN.source)
        engine = LocalEngine(PLAN, source, alerts=[str(tmp_path / "a.jsonl")], state=tmp_path / "state", live=source.live)

        def stop(at: Progress, until: int = until, engine: LocalEngine = engine) -> None:
            if at.rows >= until:
                engine.stop()

        done = engine.run(stop)
        assert not done.complete
        assert done.ledger.rows_in == until
    LocalEngine(PLAN, Endless(PLAN.source, 75), alerts=[str(tmp_path / "whole.jsonl")]).run()
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()
    assert read_alerts(tmp_path / "a.jsonl")["row"].struct.field("v").to_list() == [9] * 7
