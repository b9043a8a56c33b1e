"""What writing a score to a file would lose, from the format's own declaration."""

from __future__ import annotations

from pathlib import Path

from cadenza import formats
from cadenza.score.model import Score


def losses_of(score: Score, target: Path) -> list[str]:
    """The sentences of those declared Edits that change this score, in order; empty where nothing is lost.

    A rendering (sound, picture) declares none: it is no form of the score.
    """
    module = formats.module_for(target, "write")
    said = []
    for edit in getattr(module, "PROJECTION", ()):
        after = edit.apply(score)
        if after != score:
            said.append(edit.says)
        score = after
    return said
