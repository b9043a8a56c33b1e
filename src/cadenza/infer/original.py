"""No copies: passages that stand in the training set are found as they are written, and drawn again.

The index (:mod:`cadenza.metrics.originality`) lies in the model's folder as ``originality.npz`` and holds fingerprints,
no music. Common figures stand in it too, so a short run proves nothing: a bar is refused where it makes a run longer
than ``max_run``, by default what held-out human music hardly exceeds with the same training set (what the index says
of itself as ``human_run``), at least :data:`LEAST_RUN` notes.

Single bars are common property too, yet a small model writes the common ones more often than people do. So an account
is kept (:class:`BarShare`): held-out human music says which share of a continuation's bars stands in the training set,
given that share in the bars before it, and a new bar that overdraws this is refused. A bar that the piece has said
before is not judged again, but counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from cadenza.base.errors import FormatError
from cadenza.infer.loops import key_of
from cadenza.metrics.originality import OriginalityIndex, bar_hashes, copied
from cadenza.notation.grammar import fields_of
from cadenza.score.model import Metre, Note, Score, Track
from cadenza.score.time import bar_ticks

if TYPE_CHECKING:
    from cadenza.infer.prompt import Prompt

LEAST_RUN = 12
LOOK_BACK_BARS = 8
REASON = "a copy of the training set"
TOO_COMMON = "too many bars of the training set"
SEED_BARS = 4  # of single tracks; fewer do not tell how common a seed's bars are
IN_HAND = 1  # bars of the training set beyond the account, so that the first bar may be one


@dataclass(frozen=True)
class BarShare:
    """Which share of a track's bars stands in the training set, in human continuations of held-out seeds.

    Args:
        mean: of all.
        base, slope: of those whose seed has the share ``s`` it is ``base + slope · s`` (least squares).
    """

    mean: float
    base: float
    slope: float

    def after(self, n_bars: int, n_found: int) -> float:
        """The share to expect after a seed of ``n_bars``, ``n_found`` of which stand in the training set."""
        share = self.mean if n_bars < SEED_BARS else self.base + self.slope * n_found / n_bars
        return min(max(share, 0.0), 1.0)

    @classmethod
    def read(cls, saved: Any, where: str = "") -> BarShare:
        """From what an index says of itself.

        Raises:
            FormatError: not three numbers from 0 to 1.
        """
        names = ("mean", "base", "slope")
        given: list[Any] = [saved.get(name) for name in names] if isinstance(saved, Mapping) else []
        values = [float(value) for value in given if type(value) in (int, float) and 0 <= value <= 1]
        if len(values) < len(names):
            raise FormatError(f"numbers from 0 to 1 as {', '.join(names)}", repr(saved)[:80], where=where)
        return cls(*values)


@dataclass(frozen=True)
class Originality:
    """What must not be copied.

    Args:
        max_run: notes of the longest run that may stand in the index.
        bar_share: how many single bars may; None sets no bound.
    """

    index: OriginalityIndex
    max_run: int
    bar_share: BarShare | None = None

    @classmethod
    def of(cls, index: OriginalityIndex) -> Originality:
        """With the bounds that the index brings."""
        share = index.about.get("human_bars")
        return cls(
            index,
            max(int(index.about.get("human_run", 0)), LEAST_RUN),
            None if share is None else BarShare.read(share, "human_bars of the index of originality"),
        )

    def objection(self, prompt: Prompt, ticks_per_quarter: int) -> Callable[[Sequence[str]], str]:
        """Refuses the last of some bars where it makes too long a run or one common bar too many; asked after each."""
        n_standing = len(prompt.bars)

        @cache
        def found_in(bar: str) -> tuple[int, int]:
            """Tracks' bars that say something in a bar's text, and how many of them stand in the index."""
            hashes = bar_hashes(told([bar], prompt, ticks_per_quarter))
            return len(hashes), int(self.index.bars.holds(hashes).sum()) if len(hashes) else 0

        keys = cache(key_of)
        share = None if self.bar_share is None else self.bar_share.after(*sums(map(found_in, prompt.bars)))

        def overdraws(bars: Sequence[str]) -> bool:
            if share is None or not found_in(bars[-1])[1]:
                return False
            said = keys(bars[-1])
            if any(keys(bar) == said for bar in bars[:-1]):
                return False
            n_bars, n_found = sums(map(found_in, bars[n_standing:]))
            return n_found > share * n_bars + IN_HAND

        def refuse(bars: Sequence[str]) -> str:
            first = max(len(bars) - LOOK_BACK_BARS, n_standing)  # a seed may quote what it likes
            score = told(bars[first:], prompt, ticks_per_quarter)
            if copied(score, self.index).get("run", 0) > self.max_run:
                return REASON
            return TOO_COMMON if overdraws(bars) else ""

        return refuse


def sums(counts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Of both parts of some pairs."""
    first = second = 0
    for one, other in counts:
        first, second = first + one, second + other
    return first, second


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
