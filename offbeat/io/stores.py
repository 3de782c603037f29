"""Databases of alerts, by address. `offbeat.store` lies above `io`: what is needed of it is imported when such an address comes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

SCHEMES = ("sqlite", "postgresql", "postgres")
WRITTEN_AS = "sqlite:///FILE.db, postgresql://USER@HOST/DATABASE"


def is_store(uri: str) -> bool:
    """Whether `uri` is the address of a database."""
    scheme, behind, _ = uri.partition("://")
    return bool(behind) and scheme in SCHEMES


def store_class(name: str) -> Any:
    """`module:name` below `offbeat.store`."""
    module, _, inner = name.partition(":")
    return getattr(import_module(f"offbeat.store.{module}"), inner)
