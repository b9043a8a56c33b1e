"""A text in the pieces in which it is tokenized: cut at bar lines, so that no token reaches over one.

Training and inference cut with the same two functions; a text vocabulary would else see other tokens than it learned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


def units(text: str, unit_start: str) -> list[str]:
    """``text`` cut before each match of ``unit_start`` (and its blank); joined they are the text."""
    if not unit_start:
        return [text]
    cuts = [0]
    for found in re.finditer(unit_start, text):
        at = found.start()
        if at and text[at - 1] == " ":
            at -= 1
        if at > cuts[-1]:
            cuts.append(at)
    return [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def tokenize_units(codec: Any, parts: Sequence[str]) -> list[list[int]]:
    """The ids of each part. Where fields are tokens, the blank between two parts is implied; else it is spelled.

    Args:
        codec: one of the vocabularies of :mod:`cadenza.model`.
    """
    has_fields = bool(getattr(codec, "fields", ()))
    return [codec.tokenize(part.removeprefix(" ") if has_fields and n else part) for n, part in enumerate(parts)]
