"""Whether a source or a sink of your own keeps the promises that runs rely on: checks for your own tests, the same that ours must pass.

Each check raises AssertionError that says which promise is broken. Any test runner will do.
"""

from __future__ import annotations

from offbeat.testing.sink import check_sink
from offbeat.testing.source import check_source

__all__ = ["check_sink", "check_source"]
