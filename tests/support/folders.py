"""Where the repository and the shared data lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
DOCS = ROOT / "docs"
SUPPORT = Path(__file__).parent
