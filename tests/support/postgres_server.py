"""A real PostgreSQL for the tests: Debian's programs, a folder and a port of its own. It ends with the process that started it."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

PASSWORD = "only for tests"  # noqa: S105 - of a server that lives as long as the tests
_SECONDS = 60.0


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


def why_not() -> str | None:
    """Why there can be no server here."""
    return None if programs() else "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"


@dataclass
class Server:
    """A running server."""

    folder: Path
    port: int
    account: str | None
    """The user it runs as; None for our own. It refuses to run as root."""
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-p", self.port, "-k", self.folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=60"]
        self.process = self._begin("postgres", "-D", self.folder / "data", *options)
        until = time.monotonic() + _SECONDS
        while True:
            try:
                self.admin().close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < until, (self.folder / "log").read_text()
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, as a power cut would: nobody is told."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(_SECONDS)
            self.process = None

    def admin(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the superuser."""
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", password=PASSWORD, dbname="postgres", autocommit=True)

    def database(self) -> str:
        """The address of a new, empty database, without the password."""
        name = f"store{next(self._numbers)}"
        with self.admin() as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def initialise(self) -> None:
        """Make its data folder."""
        (self.folder / "password").write_text(PASSWORD)
        made = self._begin("initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "scram-sha-256",
                           "--pwfile", self.folder / "password", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        assert made.wait(_SECONDS) == 0, (self.folder / "log").read_text()

    def _begin(self, program: str, *arguments: object) -> subprocess.Popen[bytes]:
        folder = programs()
        assert folder is not None
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [folder / program, *map(str, arguments)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, preexec_fn=_end_with_parent,
                user=self.account, group=None if self.account is None else pwd.getpwnam(self.account).pw_gid,
                extra_groups=None if self.account is None else [],
            )  # fmt: skip


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG


@contextmanager
def running() -> Iterator[Server]:
    """A server as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="offbeat-pg-") as made:
        account = None
        if os.getuid() == 0:
            account = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
            os.chown(made, pwd.getpwnam(account).pw_uid, pwd.getpwnam(account).pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        server = Server(Path(made), port, account)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
