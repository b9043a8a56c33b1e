"""Text of XML."""

from __future__ import annotations

from decimal import Decimal


def escape(text: str) -> str:
    """``text`` as the content of an element."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;")


def attribute(name: str, value: str) -> str:
    """`` name="value"``."""
    text = escape(value).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return f' {name}="{text}"'


def decimal(value: float) -> str:
    """``value`` in digits, without an exponent; the shortest text that is read back as it."""
    text = f"{Decimal(repr(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
