"""A Spark session, or one line that says what is missing."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from offbeat.errors import UserError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_JAVA = 17
"""The least version of Java that Spark 4 runs on."""
_SPARK = (4, 2)
_QUIET = logging.NullHandler()
_SUBMITTED = "PYSPARK_GATEWAY_PORT"
"""Set where `spark-submit` started this process."""
DEFAULTS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
}
"""Settings of a session that we start ourselves, without `spark-submit`."""
REMOTE = "sc://"


def check_installed() -> None:
    """Raise UserError where PySpark is missing or of another version than this one is made for, or Java is missing or too old."""
    try:
        import pyspark  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise UserError("Spark needs PySpark: pip install 'offbeat[spark]'") from error
    check_version("PySpark", pyspark.__version__)
    check_java()
    # Py4J writes down whatever goes wrong, also what we say in one line: only where somebody set up logging.
    logging.getLogger("py4j").addHandler(_QUIET)


def check_version(what: str, version: str) -> None:
    """Raise UserError for a Spark of another version."""
    wanted = ".".join(map(str, _SPARK))
    if not version.startswith(f"{wanted}."):
        raise UserError(f"{what} is of version {version}; this offbeat runs on {wanted}: pip install 'offbeat[spark]' brings it")


def check_java() -> None:
    """Raise UserError where Java, as Spark's own scripts look for it, is missing or too old."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    if shutil.which(java) is None:
        where = f"JAVA_HOME is {home}, and there is no bin/java in it" if home else "there is no `java` on the PATH"
        raise UserError(f"Spark needs Java {_JAVA} or later, and {where}; install a JRE, or set JAVA_HOME")
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"Spark needs Java {_JAVA} or later, and {java} cannot be run ({error})") from error
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None:
        raise UserError(f"Spark needs Java {_JAVA} or later, and `{java} -version` says {said.strip()[:80]!r}")
    if int(found[1]) < _JAVA:
        raise UserError(f"Spark needs Java {_JAVA} or later, and {java} is of version {found[1]}; set JAVA_HOME to a later one")


@contextmanager
def running(master: str | None = None, *, hive: bool = False) -> Iterator[SparkSession]:
    """The session that is there, or a new one, which is stopped in the end.

    master: as for `spark-submit`; by default what that was given, else all cores here. hive: whether a new one
    knows Hive's tables. Raises UserError where Spark cannot be started.
    """
    known = _known()
    if known is not None:
        yield known
        return
    made = _started(master, hive=hive)
    try:
        yield made
    finally:
        made.stop()


def session() -> SparkSession:
    """The session that is there, or a new one. Raises UserError where Spark cannot be started."""
    return _known() or _started(None)


def _known() -> SparkSession | None:
    check_installed()
    from pyspark.sql import SparkSession  # noqa: PLC0415 - an extra, and slow to import

    known = SparkSession.getActiveSession()
    if known is not None:
        check_version("the cluster's Spark", known.version)
    return known


def _started(master: str | None, *, hive: bool = False) -> SparkSession:
    from pyspark import SparkConf, SparkContext  # noqa: PLC0415
    from pyspark.errors import PySparkException  # noqa: PLC0415
    from pyspark.sql import SparkSession  # noqa: PLC0415

    if (master or "").startswith(REMOTE):
        raise UserError(f"--master {master}: Spark Connect does not carry what offbeat needs of Spark; name the cluster itself")
    conf = SparkConf().setAppName("offbeat")
    if master is not None:
        conf.setMaster(master)
    if hive:
        conf.set("spark.sql.catalogImplementation", "hive")
    if _SUBMITTED not in os.environ:  # else it is for whoever submits to say
        for name, value in DEFAULTS.items():
            conf.set(name, value)
        if (master or "local").startswith("local"):
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # Spark takes the first python3 on the PATH
    where = master or "as configured"
    main = threading.current_thread() is threading.main_thread()
    interrupted = signal.getsignal(signal.SIGINT)
    try:
        SparkContext.getOrCreate(conf)
        if main:
            signal.signal(signal.SIGINT, interrupted)  # PySpark's own handler talks to Java while this thread does
        made = SparkSession.builder.getOrCreate()
    except (PySparkException, RuntimeError, OSError) as error:
        raise UserError(f"Spark cannot be started ({first_line(error)}); what it says stands above") from error
    except Exception as error:
        # Py4J's own errors, which have no base of ours: the master's address is wrong, or the cluster refuses.
        raise UserError(f"Spark cannot be started with master {where}: {first_line(error)}") from error
    made.sparkContext.setLogLevel("FATAL")  # what fails is said by us, in one line
    check_version("the cluster's Spark", made.version)
    return made


def first_line(error: BaseException) -> str:
    """The line of an error of the JVM that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"[\w.$]+(Exception|Error): ", line)]
    return (told or lines or [type(error).__name__])[0][:300]


_OURS = re.compile(r"^offbeat\.errors\.(?:UserError|SpecError): (.*)$", re.MULTILINE)
_LACKING = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'$", re.MULTILINE)
_OTHER_PYTHON = "PYTHON_VERSION_MISMATCH"


def ours(error: BaseException) -> UserError | None:
    """What a task said in our words, or what its Python lacks; None where it failed otherwise."""
    text = str(error)
    found = _OURS.findall(text)
    if found:
        return UserError(found[-1])
    lacking = _LACKING.search(text)
    if lacking is None and _OTHER_PYTHON not in text:
        return None
    what = f"has no module {lacking[1]!r}" if lacking is not None else "is of another version than the driver's"
    return UserError(f"the Python of Spark's workers {what}; bring offbeat along as docs/spark.md says, and set spark.pyspark.python")
