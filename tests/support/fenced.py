"""The fenced blocks of a page of the documentation."""

from __future__ import annotations

import re
from pathlib import Path


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language ('' for what a terminal shows)."""
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for given, text in fenced if given == language]


def write_modules(page: Path, folder: Path) -> list[str]:
    """Write the page's blocks of Python that begin with `# NAME.py` under these names; their names as modules."""
    named = [(text.partition("\n")[0].removeprefix("# "), text) for text in blocks(page, "python") if text.startswith("# ")]
    for name, text in named:
        (folder / name).write_text(text)
    return [name.removesuffix(".py") for name, _ in named]
