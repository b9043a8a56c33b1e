"""Which notes of a picture are new, and so in colour."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Coloured:
    """What starts within [from_ticks, to_ticks) on some tracks.

    Args:
        to_ticks: None = to the end.
        tracks: their indices; None = all.
    """

    from_ticks: int
    to_ticks: int | None = None
    tracks: frozenset[int] | None = None

    @classmethod
    def of(cls, coloured: Coloured | None, from_ticks: int | None) -> Coloured | None:
        """``coloured``, or all from a tick on, or nothing."""
        return coloured if coloured is not None or from_ticks is None else cls(from_ticks)

    def holds(self, track: int, tick: int) -> bool:
        """Whether a note is new."""
        late = self.to_ticks is not None and tick >= self.to_ticks
        return tick >= self.from_ticks and not late and (self.tracks is None or track in self.tracks)

    def scaled(self, factor: float) -> Coloured:
        """The same in other ticks."""
        to_ticks = None if self.to_ticks is None else round(self.to_ticks * factor)
        return replace(self, from_ticks=round(self.from_ticks * factor), to_ticks=to_ticks)
