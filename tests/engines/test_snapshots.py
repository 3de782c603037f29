"""Snapshots: immutable, found by position and pipeline, never those of another topic of the same name."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from offbeat.engines.snapshots import Snapshots
from offbeat.errors import UserError

A, B = "a" * 32, "b" * 32


def test_the_newest_up_to_a_position(tmp_path: Path) -> None:
    kept = Snapshots(tmp_path, "topic-1", 3)
    assert kept.newest(10, A) is None
    for at in (5, 10**18, 40):
        kept.put(at, A, f"state at {at}".encode())
    kept.put(30, B, b"of another pipeline")
    assert kept.newest(4, A) is None
    assert kept.newest(39, A) == (5, b"state at 5")
    assert kept.newest(40, A) == (40, b"state at 40")
    assert kept.newest(10**18 + 1, A) == (10**18, f"state at {10**18}".encode())
    assert kept.newest(40, B) == (30, b"of another pipeline")
    assert kept.hashes() == {A, B}


def test_what_is_there_is_never_changed(tmp_path: Path) -> None:
    """A zombie that writes a position again changes nothing, and half a file left by a crash is not seen."""
    kept = Snapshots(tmp_path, "topic-1", 0)
    path = kept.put(7, A, b"first")
    assert Snapshots(tmp_path, "topic-1", 0).put(7, A, b"second") == path
    path.with_name(f".{path.name}.123").write_bytes(b"half")
    assert kept.newest(7, A) == (7, b"first")
    assert kept.newest(100, A) == (7, b"first")


def test_a_topic_made_anew_and_another_shard_have_none(tmp_path: Path) -> None:
    Snapshots(tmp_path, "XmQ3-5_z.id", 1).put(7, A, b"mine")
    assert Snapshots(tmp_path, "another.id", 1).newest(100, A) is None
    assert Snapshots(tmp_path, "XmQ3-5_z.id", 2).newest(100, A) is None
    assert Snapshots(tmp_path, "XmQ3-5_z.id", 1).newest(100, A) == (7, b"mine")


def test_forgotten(tmp_path: Path) -> None:
    kept = Snapshots(tmp_path, "t", 0)
    for at in (1, 2, 3):
        kept.put(at, A, bytes([at]))
    kept.forget(3)
    assert kept.newest(2, A) is None
    assert kept.newest(3, A) == (3, b"\x03")


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="an id has letters"):
        Snapshots(tmp_path, "../elsewhere", 0)
    (tmp_path / "t").write_text("a file where the folder would be")
    with pytest.raises(UserError, match="cannot write the snapshot"):
        Snapshots(tmp_path, "t", 0).put(1, A, b"")


@pytest.mark.heavy
def test_a_snapshot_that_another_worker_forgets_meanwhile(tmp_path: Path) -> None:
    """Two workers share a folder: the one that looks for the newest never meets a file that is gone by then."""
    writer, reader = (Snapshots(tmp_path, "topic", 0) for _ in range(2))
    writer.put(0, "a" * 16, b"0")
    done = threading.Event()

    def keep() -> None:
        for at in range(1, 300):
            writer.put(at, "a" * 16, str(at).encode())
            writer.forget(at)
        done.set()

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        last = 0
        while not done.is_set():
            found = reader.newest(10**6, "a" * 16)
            assert found is not None
            assert found[1] == str(found[0]).encode()
            assert found[0] >= last
            last = found[0]
    finally:
        thread.join()
