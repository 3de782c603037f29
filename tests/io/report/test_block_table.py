"""A table of figures at any width: every figure whole, every name there, and no line too long."""

from __future__ import annotations

import re
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from offbeat.io.report.block_table import BlockTable


def printed(table: BlockTable, width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def cells(lines: list[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("┃│").split("┃" if "┃" in line else "│")] for line in lines if line[:1] in "┃│"]


def headings(lines: list[str]) -> set[str]:
    return {word for line in lines if line.startswith("┃") for word in line.replace("┃", " ").split()}


NARROW = BlockTable(
    names=["name"],
    groups=[["first one", "second"], ["third"]],
    rows=[["a", "1,000", "22", "333"], ["b", "4", "5", "6"]],
    title="[red]three",
    total=["all", "1,004", "27", "339"],
)


def test_a_wide_terminal_has_one_table() -> None:
    lines = printed(NARROW, 60)
    assert lines[0].strip() == "[red]three"  # no markup
    assert cells(lines) == [
        ["name", "first one", "second", "third"], ["a", "1,000", "22", "333"], ["b", "4", "5", "6"], ["all", "1,004", "27", "339"],
    ]  # fmt: skip


def test_headings_break_first() -> None:
    # 4 + 5 + 6 + 5 characters, 3 more a column, and the line at the right
    assert cells(printed(NARROW, 33))[:2] == [["", "first", "", ""], ["name", "one", "second", "third"]]


def test_then_groups_move_below() -> None:
    assert cells(printed(NARROW, 32)) == [
        ["", "first", ""], ["name", "one", "second"], ["a", "1,000", "22"], ["b", "4", "5"], ["all", "1,004", "27"],
        ["name", "third"], ["a", "333"], ["b", "6"], ["all", "339"],
    ]  # fmt: skip


def test_a_group_that_is_too_wide_is_divided() -> None:
    lines = cells(printed(NARROW, 22))
    assert ["a", "1,000"] in lines
    assert ["a", "22"] in lines or ["a", "22", "333"] in lines


def test_long_names_break() -> None:
    lines = printed(BlockTable(names=["name"], groups=[["n"]], rows=[["x" * 100, "12,345,678"]]), 40)
    assert max(map(len, lines)) <= 40
    assert "".join(lines).count("x") == 100
    assert sum("12,345,678" in line for line in lines) == 1


FIGURES = st.integers(-(10**12), 10**12).map("{:,}".format)
NAMES = st.text("abcdefgh_", min_size=1, max_size=32)
HEADINGS = st.lists(st.text("ijkl", min_size=1, max_size=11), min_size=1, max_size=3).map(" ".join)


@given(st.data(), st.integers(60, 160))
def test_no_figure_is_cut(data: st.DataObject, width: int) -> None:
    names = data.draw(st.lists(HEADINGS, min_size=1, max_size=2))
    groups = data.draw(st.lists(st.lists(HEADINGS, min_size=1, max_size=5), min_size=1, max_size=4))
    count = sum(map(len, groups))
    row = st.tuples(
        st.lists(NAMES, min_size=len(names), max_size=len(names)), st.lists(FIGURES, min_size=count, max_size=count)
    ).map(lambda pair: [*pair[0], *pair[1]])
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    lines = printed(BlockTable(names, groups, rows), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "…" not in text
    shown = sorted(re.findall(r"-?\d[\d,]*", text))
    assert shown == sorted(cell for row in rows for cell in row[len(names) :])
    assert headings(lines) == set(" ".join([*names, *chain.from_iterable(groups)]).split())
    blocks = sum(line.startswith("┡") for line in lines)
    assert len(re.findall("[a-h_]", text)) == blocks * sum(len(name) for row in rows for name in row[: len(names)])
