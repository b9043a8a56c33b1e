"""In which order a text tells the notes. Shared by all notations.

``interleaved``: one time line for all tracks. ``by_track``: track after track, each from its beginning.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cadenza.score.model import Score

Layout = Literal["interleaved", "by_track"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


def order_notes(score: Score, tracks: list[int], ties: Literal["pitch", "track"]) -> NDArray[np.int64]:
    """Notes of ``tracks`` in telling order, shape (n, 2): columns track index, row in the track.

    By onset. Notes that start together: with ties="track" by track, then pitch descending; with ties="pitch" by
    pitch descending, then track, as the published Simplified MIDI samples do.
    """
    if not tracks:
        return np.zeros((0, 2), np.int64)
    index = np.concatenate([np.full(len(score.tracks[t]), t, np.int64) for t in tracks])
    row = np.concatenate([np.arange(len(score.tracks[t]), dtype=np.int64) for t in tracks])
    onset = np.concatenate([score.tracks[t].notes["onset_ticks"] for t in tracks])
    pitch = np.concatenate([score.tracks[t].notes["pitch"] for t in tracks])
    keys = (
        [row, index, -pitch.astype(np.int64), onset]
        if ties == "pitch"
        else [row, -pitch.astype(np.int64), index, onset]
    )
    order = np.lexsort(keys)
    return np.stack([index[order], row[order]], axis=1)
