"""A piece as DadaGP tells it: bars, in each of them the beats of every instrument.

:class:`Piece` is between Score and tokens: effects are tokens already, times are ticks still. The tokens are its only
information, so a piece that was read from tokens equals the one that they were written from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cadenza.notation.dadagp.tables import QUARTER_TICKS
from cadenza.notation.dadagp.tunings import Tuning
from cadenza.score.tab.fit import GRID_TICKS


@dataclass(slots=True)
class Said:
    """A note: told string and fret (0 and the key of a drum note), and the lines of its effects."""

    string: int
    fret: int
    effects: list[str] = field(default_factory=list)

    @property
    def is_tied(self) -> bool:
        return "nfx:tie" in self.effects


@dataclass(slots=True)
class SaidBeat:
    """What an instrument does at ``start``: notes, or a rest where there are none."""

    start: int
    end: int
    notes: list[Said] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)


@dataclass(slots=True)
class SaidBar:
    """A bar; ``beats`` by instrument, in the order of time; ``marks`` are its measure tokens."""

    start: int
    end: int
    marks: list[str] = field(default_factory=list)
    beats: dict[str, list[SaidBeat]] = field(default_factory=dict)


@dataclass(slots=True)
class SaidPiece:
    """A piece. ``instruments`` are in the order in which they stand at one time; drums have no tuning."""

    artist: str
    tempo: int
    instruments: dict[str, Tuning | None]
    bars: list[SaidBar]

    @property
    def end(self) -> int:
        """Where the last beat ends; where no beat is in the last bar, its start."""
        last = self.bars[-1]
        return max((beat.end for line in last.beats.values() for beat in line), default=last.start)


def common_downtune(tunings: Iterable[Tuning | None]) -> int:
    """The downtuning that is nearest to none, as the original chooses it."""
    return min((tuning.downtune for tuning in tunings if tuning and not tuning.strings), key=abs, default=0)


def close(bars: list[SaidBar], end: int) -> None:
    """Beats last until the next of their instrument, or to the end of the bar; the piece to ``end``.

    The last bar ends on the 64th after that; where nothing is in it, it is as long as the one before.
    """
    last = bars[-1]
    if not last.beats:
        last.end = last.start + (bars[-2].end - bars[-2].start if len(bars) > 1 else 4 * QUARTER_TICKS)
    else:
        last.end = last.start + -(-(end - last.start) // GRID_TICKS) * GRID_TICKS
    for bar in bars:
        stop = end if bar is last else bar.end
        for line in bar.beats.values():
            for beat, following in zip(line, [*line[1:], None], strict=True):
                beat.end = following.start if following else stop


def groups(lines: list[str]) -> list[list[str]]:
    """Effects, each with its ``param`` lines."""
    out: list[list[str]] = []
    for line in lines:
        if line.startswith("param:") and out:
            out[-1].append(line)
        else:
            out.append([line])
    return out
