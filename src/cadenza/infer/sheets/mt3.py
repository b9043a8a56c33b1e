"""MT3 events; see :mod:`cadenza.infer.sheet`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cadenza.base.errors import RangeError
from cadenza.infer.constrain import Instrument
from cadenza.infer.model import ComposerModel
from cadenza.infer.players.mt3 import Mt3Player
from cadenza.infer.sheet import Part, Told, View
from cadenza.notation.grammar import NEWLINE, between
from cadenza.notation.mt3 import WHOLE_PIECE_SHIFTS, Mt3
from cadenza.notation.mt3_grammar import DRUMS, Mt3State
from cadenza.score.model import Score, Track


def told(model: ComposerModel, view: View) -> Told:
    """The view's events that come before the new bars.

    Raises:
        RangeError: a vocabulary of whole pieces that end sooner.
    """
    notation: Mt3 = model.notation
    borders = np.rint(view.border_seconds() * notation.steps_per_second).astype(int).tolist()
    if model.has_fields and not notation.segment_seconds and borders[-1] >= WHOLE_PIECE_SHIFTS:
        hint = "Fewer bars, a shorter seed, or a model of segments."
        most = WHOLE_PIECE_SHIFTS / notation.steps_per_second
        found = f"{borders[-1] / notation.steps_per_second:.1f}"
        raise RangeError(f"a piece of less than {most:g} seconds, bars to be written included", found, hint=hint)
    programs: dict[int, int] = {}
    for place, track in enumerate(view.score.tracks):
        if place in view.free:
            programs.setdefault(DRUMS if track.is_drums else track.program, place)
    standing: dict[int, int] = {}
    for place, track in enumerate(view.score.tracks):
        standing.setdefault(DRUMS if track.is_drums else track.program, place)

    def player(instruments: Sequence[Instrument]) -> Mt3Player:
        return Mt3Player(notation, instruments, programs, borders, view.n_standing)

    def read(text: str) -> Score:
        tracks: list[Track | None] = [None] * len(view.score.tracks)
        for track in notation.decode(text).tracks:
            place = programs.get(DRUMS if track.is_drums else track.program)
            if place is not None:
                tracks[place] = track
        return view.new_bars_in_seconds(tracks, notation.steps_per_second)

    given = _before(notation, view.score, borders[view.n_standing]) if view.n_standing else "t"
    silent = frozenset(range(len(view.score.tracks))) - set(standing.values())
    unit = max(borders[1] - borders[0], 1)
    return Told("", (Part(given, view.n_bars),), player, read, unit, view.n_standing, silent)


def _before(notation: Mt3, score: Score, stop: int) -> str:
    """The text up to the last event before a step."""
    state = Mt3State(notation.velocity_bins, notation.border_step)
    text, last = "", None
    for field in notation.fields(notation.encode(score)):
        at = state.start + int(field.value) if field.kind == "s" else state.stop if field.kind == NEWLINE else 0
        if at >= stop:
            break
        text += between(last, field.kind, notation.joint) + str(field)
        state.feed(field)
        last = field
    return text
