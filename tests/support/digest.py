"""Run as a program: one digest of every bit of every alert of fixed streams and of the real bars, which other tests hold to the oracle.

`test_bits.py` runs it under several instruction sets and wants the same line from all of them [S11].
"""

from __future__ import annotations

import sys
from hashlib import blake2b

from case import Case
from driver import Driver
from harness import bits, in_order
from hypothesis import given, settings
from phases import PHASES
from population_windows import Run, windows
from real_bars import FOLDER, real_rows
from strategies import Stream, streams
from under_test import BARS, CASES


def add_streams(case: Case, digest: blake2b) -> None:
    @settings(max_examples=60, derandomize=True, deadline=None, database=None, phases=PHASES)
    @given(streams(case))
    def law(stream: Stream) -> None:
        ours = Driver(case)
        ours.feed(stream.rows)
        ours.drain()
        digest.update(repr([bits(alert) for alert in in_order(ours.alerts())]).encode())

    law()


def add_bars(digest: blake2b) -> None:
    ours = Driver(BARS)
    rows = real_rows()
    for at in range(0, len(rows), 10_000):
        ours.feed(rows[at : at + 10_000])
    ours.drain()
    digest.update(repr([bits(alert) for alert in in_order(ours.alerts())]).encode())


def add_population(digest: blake2b) -> None:
    ours = Run()
    digest.update(repr(ours.judge(windows())).encode())
    for array in (ours.evidence.contributions, ours.evidence.out_of_range.values, ours.evidence.version):
        digest.update(array.tobytes())


def main() -> None:
    digest = blake2b(digest_size=16)
    add_population(digest)
    for case in CASES:
        add_streams(case, digest)
    if FOLDER.is_dir():
        add_bars(digest)
    sys.stdout.write(f"digest {digest.hexdigest()}\n")


if __name__ == "__main__":
    main()
