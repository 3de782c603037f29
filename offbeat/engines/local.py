"""The local engine: one process reads a source to its end, or as long as it goes on, and judges every row."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import Chunk, Position
from offbeat.core.plan import Plan
from offbeat.core.state import prefixed, under
from offbeat.engines.as_of_day import dated
from offbeat.engines.checkpoint import Checkpoint
from offbeat.engines.closed_window_files import WINDOWS, ClosedWindowFiles
from offbeat.engines.corrections import Corrections
from offbeat.engines.delivery import Delivery, Worst, check_apart
from offbeat.engines.episodes import RunEpisodes
from offbeat.engines.file_faults import FileFaults, pair_words
from offbeat.engines.file_manifest import FileManifest, counted, rows_by_file
from offbeat.engines.late_words import late_words
from offbeat.engines.quality_gate import below
from offbeat.engines.remarks import outside_sessions, remarks
from offbeat.engines.run_result import Progress, Run
from offbeat.engines.shard_pool import Fed, ShardPool, feed
from offbeat.engines.sharding import cut
from offbeat.engines.sink_offsets import EndMark, Known, SinkOffsets
from offbeat.engines.tables.collect import Tables
from offbeat.errors import UserError
from offbeat.fold.as_of import check_batch, left_out
from offbeat.fold.co_occurrence_feed import CoOccurrenceFeed
from offbeat.fold.fold import Fold
from offbeat.fold.shard import Output
from offbeat.io.contract import Source
from offbeat.io.read.file_source import FileSource
from offbeat.io.read.known_files import resolved
from offbeat.io.read.prefetch import Ahead

COMMIT_SECONDS = 5.0
"""With a state directory: how much work a crash may repeat."""
_CHEAP_SECONDS = 0.05
"""A live run's state that takes no longer to save is saved after each batch,"""
_SELDOM = 20
"""and one that takes longer after so many times as long."""
_AHEAD = 2
"""Chunks made ready while another is folded."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalEngine:
    """One run of a plan over a source.

    alerts: outputs (see `open_sink`). tables: outputs of the plan's tables (see `open_tables`). quarantine: where rows set aside go. state:
    a directory, for runs that can be continued. live: the source has no end that could be waited for, so every batch is committed at once.
    workers: shards that keys are spread over, each folded on threads of its own; 1 for a live source, and as many as a state has where
    there is one. ends: whether rows held back are folded, and open windows judged, when the source has no more; False: they wait for the
    next run with this state. Default: False for a live source with a state, else True.
    keep: alerts are kept in memory for the caller. watch: is shown the alerts of each batch, as the sinks get them. append: outputs keep
    what is in them, whoever wrote it. say: is told at once what a person has to know about the outputs of a live run, and
    of any run when an output cannot be reached.
    episodes: a file for the episodes of the alerts. mutes: a file of mutes in the place of the plan's own.
    """

    def __init__(
        self,
        plan: Plan,
        source: Source,
        *,
        alerts: Sequence[str] = (),
        tables: Sequence[str] = (),
        quarantine: Path | None = None,
        state: Path | None = None,
        live: bool = False,
        keep: bool = False,
        watch: Callable[[pa.Table], None] | None = None,
        commit_seconds: float = COMMIT_SECONDS,
        workers: int = 1,
        ends: bool | None = None,
        append: bool = False,
        say: Callable[[str], None] | None = None,
        episodes: Path | None = None,
        mutes: Path | None = None,
    ) -> None:
        check_apart(source.files, alerts, quarantine, episodes)
        check_batch(plan, live=live, kept=state is not None)
        plan = dated(plan, source)
        self._plan, self._source = plan, source
        self._live, self._keep = live, keep
        # A feed with a state goes on with the next start: what is held back waits for it.
        self._ends = not (live and state is not None) if ends is None else ends
        self._commit_seconds = 0.0 if live else commit_seconds
        # A live run may have to open closed windows again.
        self._scratch = TemporaryDirectory(prefix="offbeat-") if live and state is None else None
        archive = state / WINDOWS if state is not None else Path(self._scratch.name) if self._scratch is not None else None
        self._judge = ThreadPoolExecutor(1, thread_name_prefix="offbeat-judge")
        self._fold = Fold(
            plan,
            live=live,
            linked=bool(tables),
            closed=partial(ClosedWindowFiles, archive) if archive is not None else None,
            submit=None if live else lambda judging: self._judge.submit(judging).result,
        )
        self._workers = 1 if live else max(workers, 1)
        self._tables: Tables | None = None
        self._position: Position | None = None
        self._manifest = FileManifest()
        self._corrections = Corrections(plan, self._manifest)
        self._files: list[str] = []
        self._headers: dict[str, str] = {}
        self._plans: list[dict[str, Any]] = []
        self._alerts_before = self._rows_before = 0
        # A live run that nobody asked for them goes on for ever: it keeps no alerts.
        self._episodes = RunEpisodes(plan, episodes, mutes) if not live or episodes is not None else None
        self._checkpoint = Checkpoint(state, plan) if state is not None else None
        self._end_mark = EndMark(state) if state is not None else None
        try:
            kept = self._checkpoint.load() if self._checkpoint is not None else None
            if kept is not None:
                self._workers = len(kept[1]["shards"])
            for number in range(self._workers):
                self._fold.assign(number)
            known = self._restored(*kept) if kept is not None else None
            places = SinkOffsets(known, ended=known is not None and self._end_mark is not None and self._end_mark.holds(known))
            if tables:
                self._fold.show(partial(self._write_tables, tables))
            if not self._plans or self._plans[-1]["plan_hash"] != plan.plan_hash:
                self._plans.append({"plan_hash": plan.plan_hash, "from_row": self._fold.rows_in})
            bounded = self._checkpoint is None and not live
            self._delivery = Delivery(plan, alerts, quarantine, places, bounded=bounded, append=append, watch=watch, tell=say)
        except BaseException:
            self._let_go()
            raise
        remembers = self._checkpoint is not None and not live and self._fold.remembers
        self._correctable = source if remembers and isinstance(source, FileSource) else None
        """The source, where its files may come late or be corrected."""
        self._files_kept = source if self._checkpoint is not None and isinstance(source, FileSource) and not source.live else None
        if self._files_kept is not None:
            self._files_kept.counts = True
        self._joined, self._read_all = places.joined, False
        self._say, self._said = say, 0
        self._committed = 0.0
        self._stop = threading.Event()
        self.result = Run(plan.name, self._fold.ledger, 0, 0.0, complete=False)
        self._first_aside: str | None = None
        self._faults, self._before = FileFaults(), counted(self._fold.ledger)
        self._rows_of = Counter[int]()
        """Rows read, by number of their file."""
        self._worst = Worst()

    def stop(self) -> None:
        """Ask the run to end after the batch it is at; safe from a signal handler."""
        self._stop.set()

    def run(self, progress: Callable[[Progress], None] | None = None) -> Run:
        """Read, judge, deliver. Raises UserError for what a person can put right; nothing half-written stays behind."""
        began = self._committed = time.monotonic()
        complete = False
        numbers = self._number_files()
        try:
            if self._joined and self._checkpoint is not None:
                self._commit()  # else a crash would leave an output with alerts of which the state knows nothing
            if self._files_kept is not None and self._position is not None:
                self._position = self._corrections.regroup(self._files_kept, self._position)
            if self._correctable is not None and self._position is not None:
                self._position = self._corrections.put_right(self._correctable, self._position, self._fold, self._add)
                self._corrections.resume(self._fold)
            for step in self._steps(numbers):
                self._take_step(step)
                if progress is not None:
                    progress(self._progress())
                if step.quiet and self._commit_due():
                    self._commit()
                elif self._live:
                    self._write()
                if self._live and self._episodes is not None:
                    self._episodes.write(goes_on=True)
                self._tell()
            # A live source that ends because it was asked to has not come to its end: what is held back waits for the next start.
            complete = self._read_all and not (self._live and self._stop.is_set())
            if complete and self._ends:
                # What comes with the next run is mostly later. What is not opens the windows again.
                self._deliver(self._fold.end(self._fold.newest_ns if self._checkpoint is not None else NULL_INT))
                self._corrections.done(self._fold)
            self._deliver(self._fold.settle())
            if self._checkpoint is not None:
                self._commit()
                self._checkpoint.keep_models(self._fold.models())
            self._delivery.close(complete or self._checkpoint is not None or self._live)
            if self._episodes is not None and (complete or self._checkpoint is not None or self._live):
                self._episodes.write()
            if self._end_mark is not None:
                self._end_mark.put(self._delivery.known)
        except BaseException:
            self._delivery.close(complete=False)
            raise
        finally:
            self._source.close()
            self._let_go()
        return self._report(complete, time.monotonic() - began)

    def _write_tables(self, uris: Sequence[str], names: Mapping[str, Callable[[], Sequence[str]]], links: CoOccurrenceFeed) -> Tables:
        self._tables = Tables(self._plan, uris, names, links)
        return self._tables

    def _let_go(self) -> None:
        self._judge.shutdown()
        if self._tables is not None:
            self._tables.close()
        if self._checkpoint is not None:
            self._checkpoint.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _steps(self, numbers: list[int]) -> Iterator[_Step]:
        """The source's chunks, folded by the shards on threads of their own; of a live source at once."""
        chunks = (_renumbered(chunk, numbers) for chunk in self._source.chunks(self._position))
        if self._live:
            for chunk in chunks:
                yield _Step(chunk, [feed(self._fold, 0, self._fold.prepare(0, chunk))], quiet=True)
                if self._stop.is_set():
                    return
            self._read_all = True
            return
        ahead = Ahead((partial(_cut, chunk, self._workers) for chunk in chunks), 1, _AHEAD)
        pool, waiting = ShardPool(self._fold), deque[tuple[Chunk, list[Future[Fed]]]]()

        def settled(most: int) -> Iterator[_Step]:
            """Chunks that are done, until at most so many are under way."""
            while len(waiting) > most:
                chunk, futures = waiting.popleft()
                yield _Step(chunk, [future.result() for future in futures], quiet=not waiting)

        try:
            for chunk, parts in ahead:
                if self._fold.overdue(chunk.floor_ns):
                    yield from settled(0)
                    self._deliver(self._fold.advance(chunk.floor_ns))
                waiting.append((chunk, pool.feed(parts)))
                # A commit is of whole chunks: those under way are waited for.
                yield from settled(0 if self._commit_due() or self._stop.is_set() else _AHEAD)
                if self._stop.is_set():
                    # Also where that was asked for while a chunk before was delivered: those under way are folded, so they count.
                    yield from settled(0)
                    return
            yield from settled(0)
            self._read_all = True
        finally:
            ahead.close()
            pool.close()

    def _commit_due(self) -> bool:
        remembers = self._checkpoint is not None or self._live
        return remembers and time.monotonic() - self._committed >= self._commit_seconds

    def _add(self, source: FileSource) -> dict[str, int]:
        """Read late files through shards of their own, as their keys have later rows in the others; gives rows by fingerprint."""
        own = self._fold.beside()
        numbers, rows = [self._files.index(name) for name in source.files], Counter[str]()
        try:
            for chunk in source.chunks(None):
                rows.update({source.known_as(source.files[place]): n for place, n in rows_by_file(chunk).items()})
                whole, parts = _cut(_renumbered(chunk, numbers), self._workers)
                self._note(_Step(whole, [feed(own, number, own.prepare(number, part)) for number, part in parts], quiet=True), source)
        finally:
            source.close()
        self._deliver(own.drain())
        self._deliver(self._fold.adopt(own))
        return rows

    def _take_step(self, step: _Step) -> None:
        """Deliver what came of a chunk; from here on the run has come that far."""
        self._note(step, self._correctable)
        self._position = step.chunk.position

    def _note(self, step: _Step, source: FileSource | None) -> None:
        """Deliver what came of a chunk, and remember which files of `source` it is of; None: where none may be corrected."""
        self.result.rows_read += step.chunk.frame.height
        self._rows_of.update(rows_by_file(step.chunk))
        for fed in step.fed:
            self._deliver(fed.output)
            if source is not None:
                paths = [self._files[number] for number in rows_by_file(step.chunk)]
                files = {source.known_as(path): resolved(path) for path in paths if path != "-"}
                self._manifest.note(files, fed.time_ns, fed.before, fed.after)

    def _report(self, complete: bool, seconds: float) -> Run:
        result = self.result
        result.ledger = self._fold.ledger
        result.alerts = self._delivery.alerts
        result.seconds, result.complete = seconds, complete
        sortable = not self._live and not self._plan.source.sort
        words = late_words(dict(enumerate(self._files)), self._rows_of, self._fold.late_files(), sortable=sortable)
        words += self._fold.unseen()
        words += remarks(self._plan.quality, self.result.ledger, self._fold.untrained(), self._first_aside, self._fold.unanswered())
        if self._tables is not None:
            words += self._tables.unmatched()
        if self._tables is not None and self._checkpoint is None:
            words += self._tables.left()  # with a state, earlier days are its own
        if complete and not self._ends and result.ledger.pending:
            words.append(
                f"{result.ledger.pending:,} rows are pending: the input goes on, so rows held back and open windows wait for the next run "
                "with this state; --final scores them"
            )
        words = [*left_out(self._plan, self._fold.last_ns), *words]
        result.notes = [*self._plan.notes, *self._corrections.notes, *self._source.notes, *self._delivery.notes(), *words]
        unfit = below(self._plan.quality.tolerate, self._before, result.ledger)
        result.below_quality = bool(unfit)
        names = self._delivery.files
        result.warnings = [*unfit, *pair_words(names, self._fold.file_pairs()), *self._faults.words(names, self._rows_of)]
        result.worst = self._worst.records(self._plan)
        if self._episodes is not None:
            result.look, result.tells_episodes = self._episodes.now, self._episodes.told
            result.notes += self._episodes.notes(self._keys)
        result.gaps = gaps = self._fold.gaps()
        if gaps is not None and self._plan.quality.calendar:
            result.notes += outside_sessions(gaps, self._plan.quality.calendar, self._plan.source.time.zone)
        return result

    def _keys(self) -> list[str]:
        """All keys that were seen, of rows and of windows."""
        rows = [key for number in range(self._workers) for key in self._fold.keys(number)]
        return rows + [key for view in self._plan.views if view.rollup is not None for key in self._fold.view_keys(view.name)]

    def _progress(self) -> Progress:
        return Progress(self._fold.rows_in, self._delivery.alerts, self._source.done_bytes(), self._source.size_bytes())

    def _deliver(self, output: Output) -> None:
        for block in output.alerts:
            self._worst.add(block)
            if self._episodes is not None:
                self._episodes.add(block)
        self._faults.note(output.quarantined)
        for rows in output.quarantined if self._first_aside is None else ():
            why = f"{rows.reasons[0]}: {rows.details[0]}" if rows.details and rows.details[0] else rows.reasons[0]
            self._first_aside = f"{self._delivery.files[rows.files[0]]}, row {rows.rows[0]} ({why}): {rows.raw[0][:100]}"
            break
        if self._keep:
            self.result.blocks += output.alerts
        self._delivery.deliver(output.alerts, output.quarantined)

    def _number_files(self) -> list[int]:
        """Numbers of the source's files in the run's own list, which outlives a restart with more files."""
        known = {name: number for number, name in enumerate(self._files)}
        for name in self._source.files:
            if name not in known:
                known[name] = len(self._files)
                self._files.append(name)
        # A name may be any bytes; what is none of UTF-8 is shown as \udcff, since a text cannot hold it.
        self._delivery.files = [name.encode("utf-8", "backslashreplace").decode() for name in self._files]
        # A row held back may be set aside when its file is long done with.
        self._headers |= {name: header for name, header in zip(self._source.files, self._source.headers, strict=True) if header is not None}
        self._delivery.headers = [self._headers.get(name) for name in self._files]
        return [known[name] for name in self._source.files]

    def _commit(self) -> None:
        """Sinks first, then the state that names how far they are: a crash in between is undone at the next start."""
        began = time.monotonic()
        self._store()
        self._committed = time.monotonic()
        if self._live:
            # A large state is saved less often than every batch of rows.
            took = self._committed - began
            self._commit_seconds = _SELDOM * took if took > _CHEAP_SECONDS else 0.0

    def _tell(self) -> None:
        """Say what is new about the outputs of a run whose report nobody may ever see."""
        if self._live and self._say is not None:
            notes = self._delivery.notes()
            for note in notes[self._said :]:
                self._say(note)
            self._said = len(notes)

    def _store(self) -> None:
        self._deliver(self._fold.settle())
        if self._tables is not None:
            self._tables.settle()
        sinks = self._write()
        if self._checkpoint is None:
            self._delivery.stored()
            self._fold.tidy()
            return
        merge, merged = self._fold.merge_state()
        arrays, shards = prefixed("merge", merge), []
        for number in range(self._workers):
            own, document = self._fold.state(number)
            arrays |= prefixed(f"shard/{number}", own)
            shards.append(document)
        told, documents = self._episodes.state() if self._episodes is not None else ({}, None)
        arrays |= prefixed("episodes", told)
        self._checkpoint.save(
            arrays,
            {
                **({} if documents is None else {"episodes": documents}),
                "shards": shards,
                "merge": merged,
                "position": self._position,
                "files": self._files,
                "headers": self._headers,
                "sinks": sinks,
                "plans": self._plans,
                "readings": self._manifest.document(),
                "rewound": self._corrections.document(),
                "ledger": self._fold.ledger.as_dict(),
                "alerts": self._alerts_before + self._delivery.alerts,
            },
        )
        self._delivery.stored()
        self._fold.tidy()

    def of_state(self) -> dict[str, int]:
        """Figures of all runs with this state: rows in before this run and now, and alerts; those of the ledger are theirs, too."""
        return {"rows_before": self._rows_before, "rows_in": self._fold.rows_in, "alerts": self._alerts_before + self._delivery.alerts}

    def _write(self) -> Known:
        """What was delivered is there for others; returns how far the outputs are."""
        if self._end_mark is not None:
            self._end_mark.clear()
        return self._delivery.commit()

    def _restored(self, arrays: dict[str, np.ndarray], document: dict[str, Any]) -> Known:
        """As `_restore`; raises UserError where a whole snapshot still does not fit what this version expects."""
        try:
            known = self._restore(arrays, document)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"the state was written by offbeat {document['offbeat_version']}, and this version cannot go on with it "
                f"({type(error).__name__}: {error}); read all sources again with --rebuild, or use that version"
            ) from error
        self._alerts_before, self._rows_before = int(document.get("alerts") or 0), self._fold.rows_in
        return known

    def _restore(self, arrays: dict[str, np.ndarray], document: dict[str, Any]) -> Known:
        """Go on from a stored state; returns how far the outputs are."""
        for number, own in enumerate(document["shards"]):
            self._fold.restore(number, under(f"shard/{number}", arrays), own)
        self._fold.restore_merge(under("merge", arrays), document["merge"])
        self._position, self._plans = document["position"], document["plans"]
        self._files, self._headers = document["files"], document["headers"]
        self._manifest.restore(document["readings"])
        self._corrections.restore(document["rewound"])
        if self._episodes is None and document.get("episodes") is not None:
            self._episodes = RunEpisodes(self._plan, None, None)  # an earlier run was asked for them, and a later one may be
        if self._episodes is not None:
            self._episodes.restore(under("episodes", arrays), document.get("episodes"), int(document.get("alerts") or 0))
        sinks: Known = document["sinks"]
        return sinks


@dataclass(frozen=True, slots=True)
class _Step:
    """A chunk of the source and what comes of it, by shard."""

    chunk: Chunk
    fed: Sequence[Fed]
    quiet: bool
    """Whether no later chunk is under way, so that the run can be committed."""


def _cut(chunk: Chunk, shards: int) -> tuple[Chunk, list[tuple[int, Chunk]]]:
    return chunk, list(cut(chunk, shards))


def _renumbered(chunk: Chunk, numbers: list[int]) -> Chunk:
    """The chunk with its files counted as the run counts them."""
    if chunk.files is not None:
        return replace(chunk, files=np.array(numbers, np.int32)[chunk.files])
    return chunk if numbers[chunk.file] == chunk.file else replace(chunk, file=numbers[chunk.file])
