"""A table of figures at any width of terminal: columns that do not fit go on in blocks below, and no figure is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_FRAME = 3
"""Characters that a column takes besides its own: a line and a space on both sides."""


@dataclass(frozen=True, slots=True)
class BlockTable:
    """A table whose first columns are names and whose other columns are figures.

    `names` and `groups` are the headings; figures of one group stay in one block where they fit it. Each of `rows` has a cell for every
    heading, in their order; `total` is a last row, set apart. All cells are plain text.

    Where the terminal is too narrow, headings break between words; then groups move into blocks below, and each block begins with the
    names. Long names break, figures never do.
    """

    names: Sequence[str]
    groups: Sequence[Sequence[str]]
    rows: Sequence[Sequence[str]]
    title: str = ""
    total: Sequence[str] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or its blocks one below the other, for the width that `options` names."""
        room = options.max_width - 1
        if sum(self._widths(narrow=False)) + _FRAME * len(self._headings) <= room:
            yield self._block(range(len(self.names), len(self._headings)), self._widths(narrow=False), first=True)
            return
        widths = self._widths(narrow=True)
        for place, block in enumerate(self._blocks(widths, room)):
            yield self._block(block, widths, first=place == 0)

    @property
    def _headings(self) -> list[str]:
        return [*self.names, *chain.from_iterable(self.groups)]

    def _widths(self, *, narrow: bool) -> list[int]:
        """The characters that each column needs; `narrow`: with headings broken between words."""
        whole = [*self.rows, *([] if self.total is None else [self.total])]
        headings = [max(map(cell_len, heading.split())) if narrow else cell_len(heading) for heading in self._headings]
        return [max([least, *(cell_len(row[place]) for row in whole)]) for place, least in enumerate(headings)]

    def _blocks(self, widths: list[int], room: int) -> list[list[int]]:
        """Which columns of figures stand in which block. Shortens the `widths` of names that leave no room for figures."""
        count = len(self.names)
        if sum(widths[:count]) + _FRAME * count > room // 2:
            most = max(room // 2 // count - _FRAME, 1)
            widths[:count] = [min(width, most) for width in widths[:count]]
        room -= sum(widths[:count]) + _FRAME * count
        blocks: list[list[int]] = [[]]
        left, at = room, count
        for group in self.groups:
            places = list(range(at, at + len(group)))
            at += len(group)
            needs = sum(widths[place] + _FRAME for place in places)
            parts = [places] if needs <= room else [[place] for place in places]
            for part in parts:
                needs = sum(widths[place] + _FRAME for place in part)
                if needs > left and blocks[-1]:
                    blocks.append([])
                    left = room
                blocks[-1] += part
                left -= needs
        return blocks

    def _block(self, figures: Sequence[int], widths: list[int], *, first: bool) -> Table:
        title = Text(self.title) if self.title and first else None
        table = Table(title=title, title_justify="left", header_style="bold")
        places = [*range(len(self.names)), *figures]
        for place in places:
            named = place < len(self.names)
            table.add_column(self._headings[place], justify="left" if named else "right", overflow="fold", width=widths[place])
        for row in self.rows:
            table.add_row(*(Text(row[place]) for place in places))
        if self.total is not None:
            table.add_section()
            table.add_row(*(Text(self.total[place]) for place in places), style="bold")
        return table
