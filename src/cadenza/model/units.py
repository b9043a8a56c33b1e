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


def tokenize_units(codec: Any, parts: Sequence[str], goes_on: bool = False) -> list[list[int]]:
    """The ids of each part. Where fields are tokens, what joins two parts is implied; else it is spelled.

    Args:
        codec: one of the vocabularies of :mod:`cadenza.model`.
        goes_on: more follows after the last part.
    """
    if not getattr(codec, "fields", ()):
        return [codec.tokenize(part) for part in parts]
    if joint_of(codec) == "\n":  # the line break ends a part
        last = len(parts) - (not goes_on)
        return [codec.tokenize(part.removesuffix("\n") if n < last else part) for n, part in enumerate(parts)]
    return [codec.tokenize(part.removeprefix(" ") if n else part) for n, part in enumerate(parts)]


def joint_of(codec: Any) -> str:
    """What a vocabulary implies between two of its fields."""
    codec = getattr(codec, "base", codec)  # of merged tokens
    joint: str = getattr(codec, "joint", " ")
    return joint
