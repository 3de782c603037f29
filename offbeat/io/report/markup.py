"""Pieces of HTML, for the dashboard and for reports. Whatever comes from the data is escaped here."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from offbeat.io.report.console import safe

STYLE = Path(__file__).with_name("markup.css").read_text(encoding="utf-8")
"""What a page with these pieces needs in its style sheet."""
COLORS = {"critical": "#d55e00", "high": "#e69f00", "medium": "#0072b2", "low": "#8a8f98"}
"""Of Okabe and Ito, whom the colour-blind can tell apart; levels are told by words and dots as well."""
LEVELS = tuple(COLORS)
"""Those of a pipeline that names none of its own, the worst first."""


def text(value: object, limit: int = 300) -> str:
    """A value as text in HTML, harmless, its direction kept to itself."""
    return f"<bdi>{html.escape(safe(value, limit))}</bdi>"


def figures(values: Sequence[tuple[str, str]]) -> str:
    """Figures side by side: (what, number)."""
    return '<div class="ob-figures">' + "".join(f"<div><b>{text(n)}</b><span>{text(what)}</span></div>" for what, n in values) + "</div>"


def bars(title: str, values: Sequence[tuple[str, float, str]], colors: dict[str, str] | None = None, *, signed: bool = False) -> str:
    """Bars with (name, size, number); those below zero have a colour of their own where `signed`."""
    most = max((abs(size) for _, size, _ in values), default=0.0) or 1.0
    parts = []
    for name, size, told in values:
        color = (colors or {}).get(name, "#56b4e9" if signed and size < 0 else "#d55e00" if signed else "#0072b2")
        width = f"{100 * abs(size) / most:.1f}%"
        parts.append(f'<span class="n" title="{html.escape(safe(name), quote=True)}">{text(name)}</span>')
        parts.append(f'<span class="t"><i style="width:{width};background:{color}"></i></span><span class="v">{text(told)}</span>')
    return f'<div class="ob-head">{text(title)}</div><div class="ob-bars">{"".join(parts)}</div>'


def table(names: Sequence[str], rows: Sequence[Sequence[str]], numeric: frozenset[int] = frozenset()) -> str:
    """A table of texts; `numeric`: the columns set to the right."""

    def cell(kind: str, at: int, value: str) -> str:
        return f"<{kind}{' class=num' if at in numeric else ''}>{text(value)}</{kind}>"

    head = "".join(cell("th", at, name) for at, name in enumerate(names))
    body = "".join("<tr>" + "".join(cell("td", at, value) for at, value in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="ob-scroll"><table class="ob-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def level(name: str) -> str:
    """A level as a badge."""
    return f'<span class="ob-level" style="background:{COLORS.get(name, "#8a8f98")}">{text(name)}</span>'


def plain(words: str) -> str:
    """For what Streamlit reads as Markdown: nothing in it is taken as such."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~:$^=&" else c for c in safe(words, 2_000))
