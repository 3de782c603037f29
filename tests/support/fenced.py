"""The fenced blocks of a page of the documentation."""

from __future__ import annotations

import re
from pathlib import Path


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language ('' for what a terminal shows)."""
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for given, text in fenced if given == language]
