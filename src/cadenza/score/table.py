"""Score ↔ one flat NumPy note array. Field names carry their units."""

from __future__ import annotations

import numpy as np

from cadenza.score.model import NOTE_DTYPE, NoteArray, Score
from cadenza.score.time import ticks_to_seconds

TABLE_DTYPE = np.dtype(
    [
        ("track", "i4"),
        *((name, NOTE_DTYPE[name]) for name in NOTE_DTYPE.names or ()),
        ("onset_quarters", "f8"),
        ("duration_quarters", "f8"),
        ("onset_seconds", "f8"),
        ("duration_seconds", "f8"),
    ]
)


def note_table(score: Score) -> NoteArray:
    """All notes of all tracks, shape (n,), :data:`TABLE_DTYPE`, by onset, then track, then pitch."""
    out = np.zeros(score.n_notes, TABLE_DTYPE)
    row = 0
    for index, track in enumerate(score.tracks):
        part = out[row : row + len(track)]
        part["track"] = index
        for name in NOTE_DTYPE.names or ():
            part[name] = track.notes[name]
        row += len(track)
    onset, end = out["onset_ticks"], out["onset_ticks"] + out["duration_ticks"]
    out["onset_quarters"] = onset / score.ticks_per_quarter
    out["duration_quarters"] = out["duration_ticks"] / score.ticks_per_quarter
    out["onset_seconds"] = ticks_to_seconds(score, onset)
    out["duration_seconds"] = ticks_to_seconds(score, end) - out["onset_seconds"]
    return out[np.lexsort([out["pitch"], out["track"], out["onset_ticks"]])]
