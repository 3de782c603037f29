"""A real Apache Kafka on this machine, in KRaft mode: for tests, benchmarks, demos, and `make kafka`.

`make kafka-install` fetches its jars; it needs Java 17 or later. A broker listens on 127.0.0.1 only, keeps everything below one folder, and
ends with the process that started it or before.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

LIBS = Path(__file__).resolve().parents[2] / "build" / "kafka" / "libs"
_START_SECONDS = 120
_PR_SET_PDEATHSIG = 1
_CLUSTER_ID = "b2ZmYmVhdC1jbHVzdGVyLQ"
_DEFAULTS = {
    # One machine and few clients: what a broker prepares for many is left out, so that it starts in seconds and topics are small.
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "log.segment.bytes": str(64 << 20),
    "message.max.bytes": str(32 << 20),
    "auto.create.topics.enable": "false",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "3600000",
}


def why_not() -> str | None:
    """Why no broker can be started here; None where it can."""
    if not any(LIBS.glob("kafka_2.13-*.jar")):
        return "Apache Kafka is not installed: run `make kafka-install`, which needs Maven"
    if shutil.which("java") is None:
        return "Java is not installed: Apache Kafka needs a JRE of version 17 or later"
    return None


class Broker:
    """One node of a cluster, broker and controller in one."""

    def __init__(
        self,
        folder: Path,
        node: int,
        nodes: int,
        ports: Mapping[int, tuple[int, int]],
        settings: Mapping[str, str],
        secure: Mapping[str, str] | None = None,
    ) -> None:
        """ports: by node, those of the listener for clients and of the one for controllers.

        secure: settings of another listener, with TLS and passwords; without the `listener.name.secure.` before their names.
        """
        self.node, self.port = node, ports[node][0]
        self._folder = folder / f"node-{node}"
        copies = str(min(nodes, 3))
        voters = ",".join(f"{other}@127.0.0.1:{pair[1]}" for other, pair in ports.items())
        self._settings = {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{ports[node][1]}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._folder / "data"),
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": str(max(int(copies) - 1, 1)),
            "default.replication.factor": copies,
            **_DEFAULTS,
            **settings,
        }
        self.secure_port: int | None = None
        if secure is not None:
            self.secure_port = free_ports(1)[0]
            for name in ("listeners", "advertised.listeners"):
                self._settings[name] += f",SECURE://127.0.0.1:{self.secure_port}"
            self._settings["listener.security.protocol.map"] += ",SECURE:SASL_SSL"
            self._settings |= {f"listener.name.secure.{name}": value for name, value in secure.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def format(self, *extra: str) -> None:
        """Make its folder of data, once; `extra` are arguments of the storage tool, such as users."""
        self._folder.mkdir(parents=True)
        properties = "".join(f"{name}={value}\n" for name, value in self._settings.items())
        (self._folder / "server.properties").write_text(properties)
        (self._folder / "log4j2.yaml").write_text(_LOGGING)
        command = self._java("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._folder / "server.properties"), *extra)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Kafka's storage tool refuses: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    def start(self) -> None:
        """Start the process; `wait` until it answers."""
        with (self._folder / "out.txt").open("ab") as out:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._folder / "server.properties")),
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C ends what uses the broker first
                preexec_fn=_end_with_parent,
            )

    def wait(self, seconds: float = _START_SECONDS) -> None:
        """Until its listener answers. Raises RuntimeError where it ends, or does not in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"Kafka does not start:\n{(self._folder / 'out.txt').read_text()[-3000:]}")

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal: SIGSTOP, SIGCONT, SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, *, kill: bool = True) -> None:
        """End the process; by default at once, as nothing on this disk is to be kept."""
        if self._process is None:
            return
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL if kill else signal.SIGTERM)
        self._process.wait(60)
        self._process = None

    def _java(self, main: str, *arguments: str) -> list[str]:
        java = shutil.which("java") or "java"
        return [
            java, "-Xms256m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4", "-Xshare:auto",
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.yaml'}",
            *os.environ.get("OFFBEAT_KAFKA_JAVA_OPTIONS", "").split(),
            "-cp", str(LIBS / "*"), main, *arguments,
        ]  # fmt: skip


def _end_with_parent() -> None:
    """Linux: the broker is killed when the process that started it is, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_LOGGING = """
Configuration:
  Appenders: {Console: {name: out, PatternLayout: {pattern: '%d %p %c{1}: %m%n'}}}
  Loggers: {Root: {level: WARN, AppenderRef: {ref: out}}}
"""


class Cluster:
    """Brokers that belong together."""

    def __init__(
        self,
        folder: Path,
        nodes: int = 1,
        settings: Mapping[str, str] | None = None,
        ports: list[int] | None = None,
        secure: Mapping[str, str] | None = None,
    ) -> None:
        """settings: of `server.properties`, besides ours. ports: of the clients' listeners, by node; free ones by default. secure: as of
        `Broker`.
        """
        chosen = ports or free_ports(nodes)
        pairs = dict(zip(range(1, nodes + 1), zip(chosen, free_ports(nodes), strict=True), strict=True))
        self.brokers = [Broker(folder, node, nodes, pairs, settings or {}, secure) for node in pairs]

    @property
    def bootstrap(self) -> str:
        """HOST:PORT of all brokers, as clients want it."""
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)

    def start(self, *extra: str) -> None:
        """Format and start all; returns when they answer."""
        for broker in self.brokers:
            broker.format(*extra)
        for broker in self.brokers:
            broker.start()
        for broker in self.brokers:
            broker.wait()

    def stop(self) -> None:
        """End all."""
        for broker in self.brokers:
            broker.stop()


@contextmanager
def running(
    nodes: int = 1,
    settings: Mapping[str, str] | None = None,
    *extra: str,
    ports: list[int] | None = None,
    secure: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """A cluster in a folder of its own, which goes with it. extra: arguments of the storage tool, such as users."""
    with TemporaryDirectory(prefix="offbeat-kafka-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), nodes, settings, ports, secure)
        try:
            cluster.start(*extra)
            yield cluster
        finally:
            cluster.stop()


def free_ports(n: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(n)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def main() -> None:
    """Start one broker and keep it until Ctrl-C. KAFKA_PORT: where it listens."""
    if (why := why_not()) is not None:
        sys.exit(why)
    port = int(os.environ.get("KAFKA_PORT", "9092"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with running(1, {"auto.create.topics.enable": "true"}, ports=[port]) as cluster:
        sys.stdout.write(f"Apache Kafka listens on {cluster.bootstrap}; Ctrl-C ends it, and what is in it goes\n")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            sys.stdout.write("\n")


if __name__ == "__main__":
    main()
