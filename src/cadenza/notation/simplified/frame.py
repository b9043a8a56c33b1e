"""What the header of a text says, apart from its tracks."""

from __future__ import annotations

from typing import NamedTuple

from cadenza.score.model import BarMark, Key, Metre, Tempo


class Frame(NamedTuple):
    """The maps of a score after the projection; fields as in :class:`~cadenza.score.model.Score`."""

    ticks_per_quarter: int
    length_ticks: int
    tempos: tuple[Tempo, ...]
    metres: tuple[Metre, ...]
    keys: tuple[Key, ...]
    bars: tuple[BarMark, ...]
