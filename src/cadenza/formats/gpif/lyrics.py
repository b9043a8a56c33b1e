"""Lyrics of a whole track, as Guitar Pro 6 keeps them → syllables at beats.

A line begins at a bar. Spaces part words and ``-`` syllables; ``+`` joins two words under one beat and ``[…]`` is a
comment. Each syllable goes to the next beat of the first voice with a note that is not tied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cadenza.formats.gpif.building import Row
from cadenza.score.model import Technique
from cadenza.score.written import Mark


def syllables(text: str) -> Iterator[str]:
    """The syllables of a line; a word's all but its last end in a hyphen."""
    text = re.sub(r"\[[^\[\]]*\]", "", text)
    for word in text.split():
        parts = word.split("-")
        for index, part in enumerate(parts):
            yield part.replace("+", " ") + ("-" if index < len(parts) - 1 else "")


def dispatched(lines: list[tuple[int, str]], rows: list[Row], marks: list[Mark], bar_starts: list[int]) -> list[Mark]:
    """Lyric marks for the lines of a track, where its beats carry none themselves."""
    if not any(text for _, text in lines) or any(mark.kind == "lyric" for mark in marks):
        return []
    onsets = sorted({row.onset for row in rows if row.voice == 0 and not row.techniques & Technique.GRACE})
    out = []
    for verse, (bar, text) in enumerate(lines, 1):
        if 0 <= bar < len(bar_starts):
            sung = [onset for onset in onsets if onset >= bar_starts[bar]]
            # A beat whose syllable is empty passes.
            pairs = zip(sung, syllables(text), strict=False)
            out += [Mark(onset, "lyric", values=(verse,), text=syllable) for onset, syllable in pairs if syllable]
    return out
