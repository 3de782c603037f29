"""Texts that a symbol or a row may hold, and that must harm nothing."""

from __future__ import annotations

HOSTILE = {
    "html": "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "attribute": "\" onmouseover=\"alert(3)\" x='",
    "ansi": "\x1b[2J\x1b]0;owned\x07KEY",
    "rtl": "\u202egpj.exe \u2067\u05e9\u05dc\u05d5\u05dd",
    "formula": "=cmd|' /C calc'!A0",
    "markdown": "[x](javascript:alert(4)) **b** $\\int$ :material/home: <b>",
    "long": "W" * 1_000_000,
}
