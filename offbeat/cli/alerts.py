"""`offbeat alerts` and `offbeat explain`."""

from __future__ import annotations


def alerts() -> None:
    """Soon."""


def explain() -> None:
    """Soon."""
