"""From what the ear says of each frame and pitch to notes.

An onset is a local maximum of the onset curve above a threshold; its time is refined by what the ear says of the
distance; the note lasts until its frame curve falls below a threshold, or until its pitch begins again. All thresholds
were fixed on synthetic validation clips, never on recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.model.ear_features import FRAMES_PER_SECOND, LOWEST_PITCH

TOGETHER_SECONDS, MOST_BESIDE = 0.05, 0.15

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

LOOKAHEAD_FRAMES = FRAMES_PER_SECOND
BACKWARD_FRAMES = 10
BENT_SEMITONES = 0.3

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Thresholds:
    """Where a curve counts.

    Args:
        onset, frame: probabilities.
        frame_bent: of a pitch that is more than :data:`BENT_SEMITONES` off its key.
        apart_frames: two onsets of a pitch are at least so far apart; the stronger one stays.
        shortest_frames: no note is shorter.
    """

    onset: float = 0.35
    frame: float = 0.45
    frame_bent: float = 0.13
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


class NoteStream:
    """Notes of a recording whose curves come in stretches; a note may begin in one and end in another.

    Frames are settled with a second's delay: an onset is looked at with what follows it, so the notes are those that
    the whole recording at once would have given. What is kept is the last second and the notes that still sound.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self._values: dict[str, Floats] = {}
        self._first = 0  # frame that the kept curves begin with
        self._settled = 0
        self._open: dict[int, _Sounding] = {}

    def push(self, first_frame: int, values: dict[str, Floats]) -> list[HeardNote]:
        """The notes that have ended since, by the curves of a stretch that follows the one before."""
        if not self._values:
            self._first = self._settled = first_frame
            self._values = dict(values)
        else:
            self._values = {
                name: np.concatenate([kept, values[name]], axis=_time_axis(name)) for name, kept in self._values.items()
            }
        end = self._first + len(self._values["onset"])
        out = self._settle(max(self._settled, end - LOOKAHEAD_FRAMES))
        keep_from = max(self._first, self._settled - BACKWARD_FRAMES)
        drop = keep_from - self._first
        self._values = {
            name: value[:, drop:] if _time_axis(name) else value[drop:] for name, value in self._values.items()
        }
        self._first = keep_from
        return out

    def finish(self) -> list[HeardNote]:
        """The notes that had not ended."""
        if not self._values:
            return []
        end = self._first + len(self._values["onset"])
        out = self._settle(end)
        out += [sounding.note(end) for sounding in self._open.values()]
        self._open = {}
        return out

    def _settle(self, limit: int) -> list[HeardNote]:
        """Decide everything before the frame ``limit``."""
        start, first = self._settled, self._first
        if limit <= start:
            return []
        onset_curve = self._values["onset"]
        frame, pitch = onsets(onset_curve, self.thresholds)
        frame = frame + first
        inside = (frame >= start) & (frame < limit)
        frame, pitch = frame[inside], pitch[inside]
        # The first quiet frame at or after each frame of the zone, by a minimum that runs backwards.
        quiet = self._quiet(slice(start - first, limit - first))
        place = np.where(quiet, np.arange(start, limit)[:, None], limit)
        place = np.minimum.accumulate(place[::-1])[::-1]
        begins: dict[int, list[int]] = {}
        for at, key in zip(frame.tolist(), pitch.tolist(), strict=True):
            begins.setdefault(key, []).append(at)
        out: list[HeardNote] = []
        for key in {*begins, *self._open}:
            new = begins.get(key, [])
            sounding = self._open.pop(key, None)
            for index in range(-1 if sounding else 0, len(new)):
                if index >= 0:
                    sounding = self._begun(new[index], key)
                assert sounding is not None
                following = new[index + 1] if index + 1 < len(new) else limit
                earliest = max(sounding.frame + self.thresholds.shortest_frames, start)
                silent = int(place[earliest - start, key]) if earliest < limit else limit
                end = min(silent, following)
                sounding.grow(self._values, first, max(start, sounding.frame), min(end, limit))
                if end < limit:
                    out.append(sounding.note(max(end, sounding.frame + 1)))
                else:
                    self._open[key] = sounding
        self._settled = limit
        return out

    def _quiet(self, zone: slice) -> NDArray[np.bool_]:
        """Where no note of a pitch sounds on; a bent one is no longer at its key and says less of itself there."""
        wanted: Floats | float = self.thresholds.frame
        if "bend" in self._values:
            is_bent = np.abs(self._values["bend"][zone]) > BENT_SEMITONES
            wanted = np.where(is_bent, self.thresholds.frame_bent, self.thresholds.frame).astype(np.float32)
        return np.asarray(self._values["frame"][zone] < wanted)

    def _begun(self, frame: int, key: int) -> _Sounding:
        at = frame - self._first
        values = self._values
        shift = float(np.clip(values["shift"][at, key], -1.0, 1.0))
        velocity = int(np.clip(np.rint(127 * values["velocity"][at, key]), 1, 127))
        n_families = len(values["family"]) if "family" in values else 0
        return _Sounding(frame, key, shift, velocity, float(values["onset"][at, key]), np.zeros(n_families), [])


@dataclass(frozen=True)
class HeardNote:
    """One note.

    Args:
        confidence: of its onset, 0–1.
        families: how likely each family of instruments sounds it, not normalised; empty where nothing was said.
        bend_semitones: how far its pitch is from the key's, a value a frame.
    """

    onset_seconds: float
    end_seconds: float
    pitch: int
    velocity: int
    confidence: float
    families: NDArray[np.float64]
    bend_semitones: Floats


def is_one_voice(notes: Sequence[HeardNote]) -> bool:
    """Whether one note sounds after another: hardly any begins together with one or ends while an earlier one sounds.

    A note may ring on beside the next. How often it is right: docs/listening.md.
    """
    spans = sorted((note.onset_seconds, note.end_seconds) for note in notes)
    latest, beside = 0.0, 0
    for at, (onset, end) in enumerate(spans):
        beside += bool(at and (onset - spans[at - 1][0] < TOGETHER_SECONDS or end < latest))
        latest = max(latest, end)
    return bool(spans) and beside <= MOST_BESIDE * len(spans)


@dataclass
class _Sounding:
    frame: int
    key: int
    shift: float
    velocity: int
    confidence: float
    families: NDArray[np.float64]
    bends: list[Floats]

    def grow(self, values: dict[str, Floats], first: int, start: int, stop: int) -> None:
        """Take in what the curves say of frames ``start`` … ``stop``."""
        if stop <= start:
            return
        if "bend" in values:
            self.bends.append(values["bend"][start - first : stop - first, self.key].copy())
        if "family" in values:  # the first second tells the instrument best
            until = min(stop, self.frame + FRAMES_PER_SECOND)
            if until > start:
                self.families += values["family"][:, start - first : until - first, self.key].sum(axis=1)

    def note(self, end: int) -> HeardNote:
        onset = max(0.0, (self.frame + self.shift) / FRAMES_PER_SECOND)
        stop = max(end / FRAMES_PER_SECOND, onset + 0.02)
        bends = np.concatenate(self.bends) if self.bends else np.zeros(0, np.float32)
        return HeardNote(
            onset, stop, self.key + LOWEST_PITCH, self.velocity, self.confidence, self.families, bends
        )  # fmt: skip


def _time_axis(name: str) -> int:
    return 1 if name == "family" else 0


def table(heard: list[HeardNote]) -> NDArray[np.void]:
    """The notes as rows of :data:`HEARD_NOTE`, by onset and pitch."""
    out = np.zeros(len(heard), HEARD_NOTE)
    for row, note in zip(out, heard, strict=True):
        row["onset_seconds"], row["end_seconds"], row["pitch"] = note.onset_seconds, note.end_seconds, note.pitch
        row["velocity"], row["confidence"] = note.velocity, note.confidence
        row["family"] = int(np.argmax(note.families)) if len(note.families) else -1
    return out[np.lexsort([out["pitch"], out["onset_seconds"]])]


def notes(curves: dict[str, Floats], thresholds: Thresholds, first_frame: int = 0) -> NDArray[np.void]:
    """The notes of one whole stretch, :data:`HEARD_NOTE`; see :class:`NoteStream`."""
    stream = NoteStream(thresholds)
    return table([*stream.push(first_frame, curves), *stream.finish()])


def drum_hits(curve: Floats, threshold: float, first_frame: int = 0) -> list[tuple[float, int, float]]:
    """(seconds, kind, confidence) of the local maxima of a drum curve (T, drums), by time."""
    padded = np.pad(curve, ((1, 1), (0, 0)))
    frame, kind = np.nonzero((curve >= threshold) & (curve >= padded[:-2]) & (curve > padded[2:]))
    return [
        ((first_frame + at) / FRAMES_PER_SECOND, which, float(curve[at, which]))
        for at, which in zip(frame.tolist(), kind.tolist(), strict=True)
    ]
