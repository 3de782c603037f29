"""Moved to offbeat.core.plan; this name goes when nobody uses it."""

from offbeat.core.plan import *  # noqa: F403
