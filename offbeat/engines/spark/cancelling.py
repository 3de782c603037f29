"""How a batch is stopped: jobs of Spark are cancelled until the batch has noticed."""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_AGAIN_SECONDS = 0.1
"""Between two attempts to stop what is under way."""


class Cancelling:
    """`asked` says whether somebody called `stop`."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark, self._ended = spark, Event()
        self.asked = False

    def stop(self) -> None:
        """Cancel what runs now and what begins later, until `ended`; safe from a signal handler."""
        # Not from here: the thread that waits for Spark is the one that signals interrupt, and each thread talks to it by itself.
        if not self.asked:
            self.asked = True
            Thread(target=self._cancel, daemon=True).start()

    def _cancel(self) -> None:
        """The next job may be about to begin."""
        while not self._ended.wait(_AGAIN_SECONDS):
            self._spark.sparkContext.cancelAllJobs()

    def ended(self) -> None:
        """The batch is over, however it ended."""
        self._ended.set()
