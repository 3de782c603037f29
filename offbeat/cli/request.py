"""What `offbeat run` was asked for, checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from offbeat.engines.spark import HIVE
from offbeat.errors import UserError
from offbeat.io.kafka import KAFKA

ENGINES = ("local", SPARK := "spark")


@dataclass(frozen=True, slots=True)
class KafkaRequest:
    """What only a worker on Kafka is asked for."""

    group: str | None = None
    instance: str | None = None
    begin: str = "earliest"
    until: str | None = None
    dead_letters: str | None = None
    metrics_port: int | None = None
    payload: str = "json"
    schemas: tuple[str, ...] = ()
    registry: str | None = None
    repartition: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """The command line of `offbeat run`."""

    pipeline: str
    sources: tuple[str, ...]
    alerts: tuple[str, ...]
    tables: tuple[str, ...]
    quarantine: Path | None
    state: Path | None
    overrides: tuple[str, ...]
    as_json: bool
    workers: int | None = None
    ends: bool | None = None
    """Whether the end of the source is the end of the input; None: the engine's default."""
    append: bool = False
    """Whether outputs keep what they hold."""
    rebuild: bool = False
    """Whether state and outputs are put aside and made again from the sources."""
    endless: bool = False
    """Whether the source, once opened, says that it goes on as long as it is asked to."""
    kafka: KafkaRequest = KafkaRequest()
    episodes: Path | None = None
    mutes: Path | None = None
    engine: str = "local"
    master: str | None = None
    """Of Spark: where it runs; None: as `spark-submit` says, else here."""

    @property
    def from_kafka(self) -> bool:
        """Whether rows come from a topic."""
        return any(source.startswith(KAFKA) for source in self.sources)

    @property
    def live(self) -> bool:
        """Whether rows are judged as they arrive."""
        return self.endless or "-" in self.sources

    @property
    def stdout_is_taken(self) -> bool:
        """Whether standard output carries alerts."""
        return "-" in self.alerts


def check(request: Request) -> None:
    """Raise UserError for options that contradict each other."""
    if request.as_json and request.stdout_is_taken:
        raise UserError("--json and --alerts - both write to standard output; write the alerts to a file")
    if request.ends is False and request.state is None:
        raise UserError("--continues needs --state DIR: what stays pending has to be kept somewhere")
    if request.rebuild and request.state is None:
        raise UserError("--rebuild needs --state DIR: without one every run reads all sources")
    if request.rebuild and request.append:
        raise UserError("--rebuild makes the outputs again, and --append adds to them: name one of both")
    if request.quarantine is not None and request.quarantine.suffix.lower() not in {".parquet", ".pq"}:
        raise UserError(f"--quarantine {request.quarantine}: the quarantine is a Parquet file; name it FILE.parquet")
    if len(set(request.alerts)) < len(request.alerts):
        raise UserError("--alerts names the same output twice")
    if len({uri.removeprefix("delta:").rstrip("/") for uri in request.tables}) < len(request.tables):
        raise UserError("--tables names the same folder twice")
    if request.engine == SPARK:
        _check_spark(request)
    elif request.master is not None:
        raise UserError(f"--master is for --engine {SPARK}")
    elif table := next((uri for uri in (*request.sources, *request.alerts) if uri.startswith(HIVE)), None):
        raise UserError(f"{table}: tables of Hive are for --engine {SPARK}")
    if request.from_kafka:
        _check_kafka(request)
    elif request.kafka != KafkaRequest():
        raise UserError(
            "--group, --instance, --from, --until, --dead-letters, --metrics-port, --format, --schema, --registry and --repartition are "
            f"for a source {KAFKA}HOST:PORT/TOPIC"
        )


PAYLOADS = ("json", "avro", "arrow")
"""Formats of records that are read and written."""


def check_payload(payload: str, schemas: tuple[str, ...], registry: str | None, known: Sequence[str] = PAYLOADS) -> None:
    """Raise UserError for a format of records that we do not have, or one without what it needs."""
    if payload not in known:
        raise UserError(f"--format {payload}: expected {', '.join(known[:-1])} or {known[-1]}")
    if payload != "avro" and (schemas or registry is not None):
        raise UserError("--schema and --registry are for --format avro")


def _check_spark(request: Request) -> None:
    """What Spark does not do in this version."""
    if "-" in request.sources:
        raise UserError("standard input cannot be read by a cluster: name files, or a topic")
    asked = {
        "--tables": request.tables,
        "--append": request.append,
        "--episodes": request.episodes is not None,
        "--mutes": request.mutes is not None,
        "--final and --continues": request.ends is not None,
    }
    if request.from_kafka:
        known = KafkaRequest(until=request.kafka.until)
        if request.kafka.until not in {None, "end"}:
            raise UserError(f"--until {request.kafka.until}: with --engine {SPARK}, expected end")
        if request.kafka != known:
            raise UserError(f"with --engine {SPARK}, leave out all options for a topic but --until in this version")
        if request.state is None:
            raise UserError(f"a topic with --engine {SPARK} needs --state DIR, which all its workers see: the checkpoint is kept there")
    else:
        asked["--state"] = request.state is not None
    for option, given in asked.items():
        if given:
            raise UserError(f"{option} is not for --engine {SPARK} in this version; leave it out")


def _check_kafka(request: Request) -> None:
    check_payload(request.kafka.payload, request.kafka.schemas, request.kafka.registry, (*PAYLOADS, "dbn"))
    if len(request.sources) > 1:
        raise UserError(f"a worker reads one topic: {KAFKA}HOST:PORT/TOPIC stands alone as the source")
    if request.tables:
        raise UserError("--tables is not written from Kafka in this version; leave it out")
    if request.quarantine is not None:
        raise UserError("--quarantine is a file of one run; from Kafka, rows set aside go to --dead-letters TOPIC")
    if request.episodes is not None or request.mutes is not None:
        told = f"`offbeat episodes {KAFKA}HOST:PORT/TOPIC` has the episodes of its alerts"
        raise UserError(f"--episodes and --mutes are not for a worker: {told}")
    if request.ends is not None:
        raise UserError("--final and --continues are for files and standard input; a topic ends with --until end")
    if request.workers is not None and request.engine != SPARK:
        raise UserError("--workers is for files; on Kafka start the same command once more for another worker")


def quarantine_path(request: Request) -> Path | None:
    """Where quarantined rows go: as asked for, else into the state directory, else beside the first file of alerts, else nowhere.

    On Spark only where asked for: the original text of every row would have to travel with it.
    """
    if request.quarantine is not None or request.engine == SPARK:
        return request.quarantine
    if request.state is not None:
        return request.state / "quarantine.parquet"
    from offbeat.io.write.sinks import local_path

    for path in map(local_path, request.alerts):
        if path is not None:
            return path.with_name(path.name + ".quarantine.parquet")
    return None
