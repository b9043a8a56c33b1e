"""No copies: passages that stand in the training set are found as they are written, and drawn again.

The index (:mod:`cadenza.metrics.originality`) lies in the model's folder as ``originality.npz`` and holds fingerprints,
no music. Common figures stand in it too, so a short run proves nothing: a bar is refused where it makes a run longer
than ``max_run``, by default the longest that held-out human music has with the same training set (what the index says
of itself as ``human_run``), at least :data:`LEAST_RUN` notes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cadenza.metrics.originality import OriginalityIndex, copied
from cadenza.notation.grammar import fields_of
from cadenza.score.model import Metre, Note, Score, Track
from cadenza.score.time import bar_ticks

if TYPE_CHECKING:
    from cadenza.infer.prompt import Prompt

LEAST_RUN = 12
LOOK_BACK_BARS = 8
REASON = "a copy of the training set"


@dataclass(frozen=True)
class Originality:
    """What must not be copied.

    Args:
        max_run: notes of the longest run that may stand in the index.
    """

    index: OriginalityIndex
    max_run: int

    @classmethod
    def of(cls, index: OriginalityIndex) -> Originality:
        """With the bound that the index brings."""
        return cls(index, max(int(index.about.get("human_run", 0)), LEAST_RUN))

    def objection(self, prompt: Prompt, ticks_per_quarter: int) -> Callable[[Sequence[str]], str]:
        """Refuses the last of some bars where it makes too long a run; asked after each bar."""
        n_standing = len(prompt.bars)

        def refuse(bars: Sequence[str]) -> str:
            first = max(len(bars) - LOOK_BACK_BARS, n_standing)  # a seed may quote what it likes
            score = told(bars[first:], prompt, ticks_per_quarter)
            return REASON if copied(score, self.index).get("run", 0) > self.max_run else ""

        return refuse


def told(bars: Sequence[str], prompt: Prompt, ticks_per_quarter: int) -> Score:
    """Onsets and pitches of some bars' texts, of the tracks that are written; lengths say nothing here."""
    length = bar_ticks(prompt.metre, ticks_per_quarter)
    notes: list[list[Note]] = [[] for _ in prompt.tracks]
    for number, bar in enumerate(bars):
        now, track, pitch, step = number * length, -1, -1, 0
        for kind, value in (*fields_of(bar), ("", "")):
            if pitch >= 0 and kind[:1] != ":":
                if track in prompt.free:
                    notes[track].append(Note(now, 1, pitch))
                now, pitch, step = now + step, -1, 0
            if kind == "i":
                track = int(value)
            elif kind == "p":
                pitch = int(value)
            elif kind == ":t":
                step = int(value)
            elif kind == "t":
                now += int(value)
    tracks = (Track.of(part, is_drums=one.is_drums) for part, one in zip(notes, prompt.instruments, strict=True))
    metre = Metre(0, prompt.metre.numerator, prompt.metre.denominator)
    return Score(tuple(tracks), ticks_per_quarter, metres=(metre,), length_ticks=len(bars) * length)
