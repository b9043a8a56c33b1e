"""Simplified MIDI track after track, or without bar words; see :mod:`cadenza.infer.sheet`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cadenza.infer.constrain import Instrument
from cadenza.infer.model import ComposerModel
from cadenza.infer.players.simplified import SimplifiedPlayer
from cadenza.infer.prompt import resolution_of
from cadenza.infer.sheet import Part, Told, View
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.projection import option
from cadenza.score.model import Score, Track
from cadenza.score.time import bar_ticks, rescaled, ticks_to_seconds

#: The last note's word up to its step, which is still to be said.
_LAST_NOTE = re.compile(r"(p\d+(?::v\d+)?(?::d\d+)?)[^\s]*$")


def told(model: ComposerModel, view: View) -> Told:
    """The view as texts; where bars have no words, silent bars at its end are left out."""
    notation: SimplifiedMidi = model.notation
    kind, count = option(notation.resolution, "resolution", ("file", "grid", "flat"))
    real_time = kind == "flat"
    whole = view
    if not notation.bars:
        view = replace(whole.sounding_end(), start_ticks=whole.start_ticks)
    score = view.score if notation.bars else replace(view.score, length_ticks=0)
    unit = count if real_time else resolution_of(notation, score)
    borders, onsets = _borders(notation, view, unit)
    by_track = notation.layout == "by_track"
    n_tracks = len(score.tracks)
    shifts = [0] * n_tracks
    if notation.profile == "published":
        shifts = onsets if by_track else [min(onsets, default=0)]
    lines = _lines(notation, view, score)
    header = lines.pop(0) + "\n" if notation.profile == "cadenza" else ""
    if not by_track:
        parts = [Part(_open(lines[0], notation), view.n_bars)]
    else:
        # What stays silent is told with what stands alone.
        lines += [""] * (n_tracks - len(lines))
        rests = [place not in view.free for place in range(n_tracks)]
        parts = [
            Part(
                ("\n" if place else "") + (line if rests[place] else _open(line, notation)),
                0 if rests[place] else view.n_bars,
            )
            for place, line in enumerate(lines)
        ]

    def player(instruments: Sequence[Instrument]) -> SimplifiedPlayer:
        return SimplifiedPlayer(notation, instruments, borders, view.n_standing, shifts, view.free)

    def read(text: str) -> Score:
        found = notation.decode(text)
        tracks: list[Track | None] = [None] * n_tracks
        for place, track in enumerate(found.tracks[:n_tracks]):
            shift = shifts[place] if place < len(shifts) else 0
            notes = track.notes.copy()
            notes["onset_ticks"] += shift
            tracks[place] = track.with_notes(notes, track.bends)
        if real_time:
            return view.new_bars_in_seconds(tracks, 2 * unit)
        return view.new_bars(tracks, unit)

    return Told(header, tuple(parts), player, read, borders[1] - borders[0], view.n_standing)


def _lines(notation: SimplifiedMidi, view: View, score: Score) -> list[str]:
    lines = notation.encode(score).split("\n")
    if view.n_standing:
        return lines
    return [*lines[: notation.profile == "cadenza"], *([] if notation.layout == "by_track" else [""])]


def _open(line: str, notation: SimplifiedMidi) -> str:
    """A line that goes on: its last note does not say yet how long it is until the next."""
    return line if notation.bars else _LAST_NOTE.sub(r"\1", line)


def _borders(notation: SimplifiedMidi, view: View, unit: int) -> tuple[list[int], list[int]]:
    """Where bars begin in the text's ticks, and the onset of each track's first note."""
    first = [int(t.notes["onset_ticks"][0]) if len(t) else 0 for t in view.score.tracks]
    if notation.resolution.startswith("flat"):
        borders = np.rint(view.border_seconds() * 2 * unit).astype(int).tolist()
        return borders, [round(float(ticks_to_seconds(view.score, at)) * 2 * unit) for at in first]
    length = bar_ticks(view.metre, unit)
    borders = [k * length for k in range(view.n_standing + view.n_bars + 1)]
    return borders, [rescaled(at, view.score.ticks_per_quarter, unit) for at in first]
