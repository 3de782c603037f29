"""A web page in one file that needs no network."""

from __future__ import annotations

import html
from pathlib import Path

from offbeat.io.report.svg import STYLE
from offbeat.io.write.atomic_file import whole_file

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
  background: Canvas; color: CanvasText; }}
h1 {{ font-size: 1.25rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1rem; margin: 1.5rem 0 .25rem; overflow-wrap: anywhere; }}
pre {{ overflow-x: auto; font: 13px/1.35 ui-monospace, monospace; padding: 1rem;
  border: 1px solid rgba(128,128,128,0.22); border-radius: 8px; }}
pre.words {{ white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5; }}
{style}{more}</style></head><body>
<h1>{title}</h1>
<p>{what}</p>
{body}
</body></html>
"""


def write_page(path: Path, title: str, what: str, body: str, *, style: str = "") -> Path:
    """Write the page; `title` and `what` are plain text, `body` is HTML, `style` what its style sheet has besides.

    Raises UserError where the file cannot be written.
    """
    with whole_file(path, durable=False) as file:
        file.write(_PAGE.format(title=html.escape(title), what=html.escape(what), body=body, style=STYLE, more=style).encode())
    return path
