"""From what the ear says of each frame and pitch to notes.

An onset is a local maximum of the onset curve above a threshold; its time is refined by what the ear says of the
distance; the note lasts until its frame curve falls below a threshold, or until its pitch begins again. All thresholds
were fixed on synthetic validation clips, never on recordings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.model.ear_features import FRAMES_PER_SECOND, LOWEST_PITCH

HEARD_NOTE = np.dtype(
    [
        ("onset_seconds", "f8"),
        ("end_seconds", "f8"),
        ("pitch", "i2"),
        ("velocity", "i2"),
        ("confidence", "f4"),  # the onset's
        ("family", "i1"),
    ]
)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Thresholds:
    """Where a curve counts.

    Args:
        onset, frame: probabilities.
        apart_frames: two onsets of a pitch are at least so far apart; the stronger one stays.
        shortest_frames: no note is shorter.
    """

    onset: float = 0.35
    frame: float = 0.35
    apart_frames: int = 3
    shortest_frames: int = 2


def onsets(curve: Floats, thresholds: Thresholds) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(frames, rows of pitch) of the onsets of a curve of shape (T, 88), by frame."""
    padded = np.pad(curve, ((1, 1), (0, 0)))
    peaks = (curve >= thresholds.onset) & (curve >= padded[:-2]) & (curve > padded[2:])
    frame, pitch = np.nonzero(peaks)
    if thresholds.apart_frames < 2 or not len(frame):
        return frame, pitch
    order = np.lexsort([frame, pitch])
    kept: list[int] = []
    for row in order:
        if kept and pitch[kept[-1]] == pitch[row] and frame[row] - frame[kept[-1]] < thresholds.apart_frames:
            if curve[frame[row], pitch[row]] > curve[frame[kept[-1]], pitch[kept[-1]]]:
                kept[-1] = int(row)
            continue
        kept.append(int(row))
    rows = np.sort(kept)
    return frame[rows], pitch[rows]


def notes(curves: dict[str, Floats], thresholds: Thresholds, first_frame: int = 0) -> NDArray[np.void]:
    """The notes of a stretch, :data:`HEARD_NOTE`, by onset and pitch.

    Args:
        curves: probabilities ``onset``, ``frame``, ``velocity`` and ``shift`` in frames, each (T, 88); ``family``,
            (families, T, 88) probabilities.
        first_frame: which frame of the recording the stretch begins with.
    """
    frame, pitch = onsets(curves["onset"], thresholds)
    out = np.zeros(len(frame), HEARD_NOTE)
    if not len(frame):
        return out
    n_frames = len(curves["onset"])
    quiet = curves["frame"] < thresholds.frame
    # The first quiet frame at or after each frame, by a minimum that runs backwards.
    place = np.where(quiet, np.arange(n_frames)[:, None], n_frames)
    place = np.minimum.accumulate(place[::-1])[::-1]
    place = np.concatenate([place, np.full((1, place.shape[1]), n_frames)])
    end = place[np.minimum(frame + thresholds.shortest_frames, n_frames), pitch]
    order = np.lexsort([frame, pitch])
    again = np.full(len(frame), n_frames)
    same = np.diff(pitch[order]) == 0
    again[order[:-1][same]] = frame[order[1:]][same]
    end = np.maximum(np.minimum(end, again), frame + 1)
    shift = np.clip(curves["shift"][frame, pitch], -1.0, 1.0)
    out["onset_seconds"] = np.maximum(0, (first_frame + frame + shift) / FRAMES_PER_SECOND)
    out["end_seconds"] = np.maximum((first_frame + end) / FRAMES_PER_SECOND, out["onset_seconds"] + 0.02)
    out["pitch"] = pitch + LOWEST_PITCH
    out["velocity"] = np.clip(np.rint(127 * curves["velocity"][frame, pitch]), 1, 127)
    out["confidence"] = curves["onset"][frame, pitch]
    if "family" in curves:
        total = np.cumsum(np.pad(curves["family"], ((0, 0), (1, 0), (0, 0))), axis=1, dtype=np.float64)
        stop = np.minimum(end, frame + FRAMES_PER_SECOND)  # the first second tells the instrument best
        out["family"] = np.argmax(total[:, stop, pitch] - total[:, frame, pitch], axis=0)
    return out[np.lexsort([out["pitch"], out["onset_seconds"]])]
