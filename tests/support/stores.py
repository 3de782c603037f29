"""Stores for tests: each test runs on SQLite and on a real PostgreSQL. Without the latter it is skipped, in CI it fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import postgres_server
import pytest

NewStore = Callable[[], str]
"""Gives the address of a new, empty store."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Server]:
    why = postgres_server.why_not()
    if why is not None:
        assert not os.environ.get("CI"), f"CI must have PostgreSQL: {why}"
        pytest.skip(why)
    with postgres_server.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewStore:
    if request.param == "sqlite":
        numbers = count()
        return lambda: f"sqlite:///{tmp_path}/store{next(numbers)}.db"
    server: postgres_server.Server = request.getfixturevalue("postgres")
    monkeypatch.setenv("PGPASSWORD", postgres_server.PASSWORD)
    return server.database


@pytest.fixture
def store(new_store: NewStore) -> str:
    return new_store()
