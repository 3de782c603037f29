"""A topic by Structured Streaming: micro-batches in, parts of alerts out, one checkpoint folder that a query goes on from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.engines.kafka.topics import look_up
from offbeat.engines.remarks import remarks
from offbeat.engines.run_result import Progress, Run
from offbeat.engines.spark.session import first_line, ours
from offbeat.engines.spark.told import Told
from offbeat.engines.spark.topic_tasks import TopicJob, fold_batch, merge_batch, place_records
from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.java_settings import java_settings
from offbeat.io.write.atomic_file import whole_file

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CONNECTOR = "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0"
_TOLD = "shard int, kind string, data binary"
_PLACED = "bucket int, partition int, offset bigint, key binary, value binary, time bigint"
BATCH_ROWS = 500_000
_WAIT_SECONDS = 0.2
_LATE_SECONDS = 1.0
"""How long a batch of a topic that goes on gathers."""
_PLACES = "places.json"


class Places:
    """What the driver notes after each batch: the topic, and of each partition at which batches its last two snapshots are."""

    def __init__(self, folder: Path, topic_id: str, partitions: int, buckets: int) -> None:
        """Raises UserError where the folder is of another topic, or of another number of buckets."""
        self._path, self._buckets = folder / _PLACES, buckets
        self.ledgers: dict[int, Ledger] = {}
        self._at: dict[int, list[int]] = {}
        self._own = {"topic": topic_id, "partitions": partitions}
        if not self._path.exists():
            return
        kept = json.loads(self._path.read_bytes())
        if kept.get("buckets", 0) != buckets:
            before = f"--workers {kept['buckets']}" if kept.get("buckets") else "no --workers"
            raise UserError(f"{folder}: the query began with {before}, by which its keys are spread; say the same, or name a new --state")
        if {name: kept[name] for name in self._own} != self._own:
            raise UserError(
                f"{folder}: the topic was deleted and made anew, or has another number of partitions since; name a new --state and other "
                "outputs"
            )
        self._at = {int(number): at for number, at in kept["at"].items()}
        self.ledgers = {int(number): Ledger.from_dict(ledger) for number, ledger in kept["ledgers"].items()}

    @property
    def begun(self) -> bool:
        """Whether a batch was ever done."""
        return bool(self._at)

    def before(self, batch: int) -> dict[int, int]:
        """Of each partition, at which batch the snapshot is that a batch begins with."""
        found = {number: [at for at in places if at <= batch] for number, places in self._at.items()}
        return {number: max(places) for number, places in found.items() if places}

    def done(self, batch: int, ledgers: dict[int, Ledger]) -> None:
        """A batch is done; partitions without records in it are where they were."""
        for number, ledger in ledgers.items():
            self._at[number] = sorted({*(at for at in self._at.get(number, []) if at <= batch), batch + 1})[-2:]
            self.ledgers[number] = ledger
        ledger_texts = {number: ledger.as_dict() for number, ledger in self.ledgers.items()}
        text = json.dumps({**self._own, "buckets": self._buckets, "at": self._at, "ledgers": ledger_texts}).encode()
        with whole_file(self._path, durable=True) as file:
            file.write(text)


class SparkStream:
    """A plan over a topic. state: folder of the checkpoint and of snapshots. alerts: folders of parts, FILE.parquet."""

    def __init__(
        self,
        spark: SparkSession,
        plan: Plan,
        source: KafkaAddress,
        *,
        state: Path,
        alerts: Sequence[str] = (),
        until_end: bool = False,
        buckets: int = 0,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        """buckets: shards that keys are spread over by a shuffle; 0 where the records lie under the pipeline's key, so that a partition is
        one. batch_rows: records of a batch at most.
        """
        check_stream(alerts)
        self._spark, self._plan, self._source = spark, plan, source
        self._state, self._until_end = state.absolute(), until_end
        self._batch_rows, self._stop = batch_rows, Event()
        topic = look_up(source)
        folders = tuple(Path(uri.removeprefix("file://")).absolute() for uri in alerts)
        self._job = TopicJob(plan, topic.name, topic.id, topic.partitions, self._state / "shards", folders, buckets)
        self._state.mkdir(parents=True, exist_ok=True)
        self._places = Places(self._state, topic.id, topic.partitions, buckets)
        for folder in folders:
            if folder.exists() and not folder.is_dir():
                raise UserError(f"cannot write {folder}: a stream writes a folder of parts there, but it is a file; name another output")
            if not self._places.begun and folder.is_dir() and any(folder.iterdir()):
                raise UserError(f"cannot write {folder}: it holds what {state} knows nothing of; name another output, or its --state")
            folder.mkdir(parents=True, exist_ok=True)
        self.result = Run(plan.name, self._ledger(), 0, 0.0, complete=False, engine="spark")
        self._told = Told()
        self._failed: BaseException | None = None
        self._progress: Callable[[Progress], None] | None = None

    def stop(self) -> None:
        """Ask the query to end after the batch it is at; safe from a signal handler."""
        self._stop.set()

    def run(self, progress: Callable[[Progress], None] | None = None) -> Run:
        """Judge batches until the topic's end, or until asked to stop. Raises UserError for what a person can put right."""
        from pyspark.errors import PySparkException  # noqa: PLC0415 - slow to import

        began = time.monotonic()
        self._progress = progress
        try:
            query = self._query()
            while not query.awaitTermination(_WAIT_SECONDS):
                if self._stop.is_set():
                    self._wait_for_batch(query)
                    query.stop()
        except PySparkException as error:
            raise self._reason(error) from error
        result, told = self.result, self._told
        result.ledger, result.seconds = self._ledger(), time.monotonic() - began
        result.complete = not self._stop.is_set()
        result.worst = [record for _, record in told.worst]
        result.rows_read = sum(told.rows_of.values())
        result.notes = [
            *self._plan.notes,
            *told.unseen_words(self._plan),
            *remarks(self._plan.quality, result.ledger, told.lacking(), told.first_aside, told.unasked()),
        ]
        return result

    def _query(self) -> Any:
        reader = self._spark.readStream.format("kafka")
        options = {
            "kafka.bootstrap.servers": self._source.brokers,
            "subscribe": self._source.topic,
            "startingOffsets": "earliest",
            "failOnDataLoss": "true",
            "kafka.isolation.level": "read_committed",
            "maxOffsetsPerTrigger": str(self._batch_rows),
            **{f"kafka.{name}": value for name, value in java_settings(self._source).items()},
        }
        try:
            rows = reader.options(**options).load()
        except Exception as error:
            if "kafka" in str(error).lower() and "data source" in str(error).lower():
                raise UserError(
                    f"Spark has no connector to Kafka: give `--packages {CONNECTOR}` to spark-submit, or set spark.jars.packages"
                ) from error
            raise
        writer = rows.selectExpr("partition", "offset", "key", "value", "unix_micros(timestamp) AS time").writeStream.foreachBatch(
            self._batch
        )
        writer = writer.option("checkpointLocation", str(self._state / "checkpoint"))
        return (writer.trigger(availableNow=True) if self._until_end else writer.trigger(processingTime=f"{_LATE_SECONDS} seconds")).start()

    def _batch(self, rows: DataFrame, batch: int) -> None:
        """What Spark calls with each micro-batch, also once more with one that was not committed."""
        try:
            job, known = self._job, self._places.before(batch)
            if job.buckets:
                placed = rows.mapInArrow(place_records(job), _PLACED)
                rows = placed.repartitionById(job.buckets, placed["bucket"])
            told = rows.mapInArrow(fold_batch(job, batch, known), _TOLD)
            if job.merged:
                told = told.repartition(1).mapInArrow(merge_batch(job, batch, known.get(job.merge)), _TOLD)
            found = {row["shard"]: Told.of(row["data"]) for row in told.collect()}
            self._places.done(batch, {number: told.ledger for number, told in found.items()})
        except BaseException as error:
            self._failed = error
            raise
        for each in found.values():
            self._told.untrained.clear()
            self._told.add(each)
            self.result.alerts += each.alerts
        if self._progress is not None:
            self._progress(Progress(self._ledger().rows_in, self.result.alerts, 0, None))

    def _ledger(self) -> Ledger:
        total = Ledger()
        for ledger in self._places.ledgers.values():
            total.add(ledger)
        return total

    def _wait_for_batch(self, query: Any) -> None:
        """A batch that is cut off would have to be done again."""
        while query.isActive and query.status["isTriggerActive"] and query.status["isDataAvailable"]:
            time.sleep(_WAIT_SECONDS)

    def _reason(self, error: Exception) -> Exception:
        known = self._failed if self._failed is not None else error
        if isinstance(known, UserError):
            return known
        said = ours(known) or ours(error)
        if said is not None:
            return said
        text = str(error)
        if "failOnDataLoss" in text or "data may have been lost" in text.lower():
            return UserError(
                f"{self._source}: records that were not read yet are gone from the topic; what is there can be read under a new --state"
            )
        line = first_line(error)  # the plan, which follows, names the checkpoint in any case
        if "checkpoint" in line.lower():
            return UserError(f"{self._state}: the checkpoint cannot be used ({line})")
        return error


def check_stream(alerts: Sequence[str]) -> None:
    """Raise UserError for what streaming on Spark does not do in this version."""
    for uri in alerts:
        if Path(uri.removeprefix("file://")).suffix.lower() not in {".parquet", ".pq"} or "://" in uri.removeprefix("file://"):
            raise UserError(f"--alerts {uri}: a stream on Spark writes folders of parts, FILE.parquet, in this version")
