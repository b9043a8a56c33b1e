"""What the pages of docs that benchmarks write have in common."""

from __future__ import annotations

import textwrap


def paragraph(text: str) -> str:
    """A paragraph filled to lines of 118 characters; nothing is broken but at blanks."""
    return textwrap.fill(" ".join(text.split()), 118, break_long_words=False, break_on_hyphens=False)


def interval(found: dict[str, float], digits: int = 2, factor: float = 1.0, sign: str = "") -> str:
    """A figure and its interval."""
    value, low, high = (f"{factor * found[name]:{sign}.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} … {high})"


def p_said(p: float) -> str:
    """A p value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
