"""Versions of pipeline files, kept so that each can be had back."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import insert, select

from offbeat.errors import UserError
from offbeat.store.database import Database
from offbeat.store.models import VERSIONS
from offbeat.store.overlays import storable
from offbeat.store.rows import indexed_text


@dataclass(frozen=True, slots=True)
class Version:
    """A pipeline's file as it was once."""

    number: int
    pipeline: str
    at_ns: int
    who: str
    why: str
    plan_hash: str
    text: str


def versions_of(database: Database, pipeline: str) -> list[Version]:
    """All versions of a pipeline, the oldest first."""
    asked = select(VERSIONS).where(VERSIONS.c.pipeline == indexed_text(pipeline)).order_by(VERSIONS.c.number)
    with database.reading() as connection:
        return [Version(*row) for row in connection.execute(asked)]


def version(database: Database, pipeline: str, number: int) -> Version:
    """One of them. Raises UserError where there is none of this number."""
    found = next((one for one in versions_of(database, pipeline) if one.number == number), None)
    if found is None:
        raise UserError(f"{database.address.text} has no version {number} of pipeline {pipeline!r}")
    return found


def keep(database: Database, pipeline: str, plan_hash: str, text: str, who: str, why: str) -> int:
    """Keep a version; its number, also where the newest one is the same text."""
    known = versions_of(database, pipeline)
    if known and known[-1].text == text:
        return known[-1].number
    row = {"pipeline": indexed_text(pipeline), "at_ns": time.time_ns(), "who": storable(who), "why": why, "plan_hash": plan_hash}
    row |= {"text": text}
    with database.writing() as connection:
        return int(connection.execute(insert(VERSIONS).values(row).returning(VERSIONS.c.number)).scalar_one())
