"""What cadenza's ear heard as notes, one vector for all that begin together.

Where ``ear`` gives what was heard of every 40 ms, and a language model has to find out which of the frames are notes
and where it is among them, this gives what begins, one after another: as many vectors as there are places in the
score, or nearly so. Times are told on scales of octaves, so that a beat twice as long is always the same step away.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.heard_notes import HeardNote, NoteStream, Thresholds, drum_hits
from cadenza.infer.transcribe import DRUM_THRESHOLD
from cadenza.model.ear import Ear, shipped_folder
from cadenza.model.ear_features import LOWEST_PITCH, N_PITCHES
from cadenza.train.listening.towers import SAMPLE_RATE, Floats, shifted
from cadenza.train.listening.towers.ear import listened

TOGETHER_SECONDS = 0.04  # after the first of an event
SHORTEST_SECONDS, OCTAVES, STEPS = 1 / 32, 8, 4  # of the scale of times
N_TIMES = OCTAVES * STEPS + 1


class NotesTower:
    """Events of the ear's notes and drum hits.

    An event's vector: of each pitch that begins its probability, velocity and length (0–1, by octaves); how likely each
    family of instruments sounds it; drums; and on scales of a quarter octave the seconds to the next event (or the
    sound's end), since the one before (or its beginning), and of its longest note.

    Args:
        source: folder of an ear; the shipped one where empty.
    """

    frames_per_second = 0.0  # events come when they come

    def __init__(self, source: str = "") -> None:
        self._folder = Path(source) if source else shipped_folder()
        self._ear = Ear(self._folder, threads=1)
        self.width = 3 * N_PITCHES + len(self._ear.families) + len(self._ear.drums) + 3 * N_TIMES

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        stream = NoteStream(Thresholds(onset=self._ear.onset_threshold))
        notes: list[HeardNote] = []
        hits: list[tuple[float, int, float]] = []
        for curves in listened(self._ear, samples):
            notes += stream.push(curves.first_frame, curves.values)
            hits += drum_hits(curves.values["drums"], DRUM_THRESHOLD, curves.first_frame)
        notes += stream.finish()
        return self.of_notes(notes, hits, len(samples) / SAMPLE_RATE)

    def of_notes(self, notes: list[HeardNote], hits: list[tuple[float, int, float]], seconds: float) -> Floats:
        """The events of notes and hits, shape (events, width)."""
        begun: list[tuple[float, HeardNote | tuple[float, int, float]]] = [
            *((note.onset_seconds, note) for note in notes), *((hit[0], hit) for hit in hits)
        ]  # fmt: skip
        begun.sort(key=lambda one: one[0])
        events: list[list[HeardNote | tuple[float, int, float]]] = []
        starts: list[float] = []
        for at, one in begun:
            if not starts or at > starts[-1] + TOGETHER_SECONDS:
                starts.append(at)
                events.append([])
            events[-1].append(one)
        out = np.zeros((len(events), self.width), np.float32)
        times = np.array([0.0, *starts, max([seconds, *starts])])
        scale = [self.width - n * N_TIMES for n in (3, 2, 1)]
        for row, event in enumerate(events):
            longest = 0.0
            for one in event:
                if isinstance(one, tuple):
                    out[row, 3 * N_PITCHES + len(self._ear.families) + one[1]] = one[2]
                    continue
                key, length = one.pitch - LOWEST_PITCH, one.end_seconds - one.onset_seconds
                longest = max(longest, length)
                out[row, key], out[row, N_PITCHES + key] = one.confidence, one.velocity / 127
                out[row, 2 * N_PITCHES + key] = float(place(length)) / (N_TIMES - 1)
                families = out[row, 3 * N_PITCHES : 3 * N_PITCHES + len(self._ear.families)]
                families += one.families / max(float(one.families.sum()), 1e-9) / len(event)
            spans = (times[row + 2] - times[row + 1], times[row + 1] - times[row], longest)
            for first, span in zip(scale, spans, strict=True):
                out[row, first : first + N_TIMES] = on_scale(float(span))
        return out

    def transposed(self, features: Floats, semitones: int) -> Floats:
        """The same events, their pitches moved."""
        return shifted(features, 3, N_PITCHES, semitones)

    def fingerprint(self) -> str:
        # Whatever runs the ear: engines differ by less than a soundfont does, and clips that were heard on one machine
        # are learned from on another.
        return f"notes {hashlib.sha256((self._folder / 'ear.onnx').read_bytes()).hexdigest()}"


def place(seconds: float) -> float:
    """Where a time lies on the scale, 0 … :data:`N_TIMES` − 1, in quarters of an octave."""
    return float(np.clip(STEPS * np.log2(max(seconds, 1e-6) / SHORTEST_SECONDS), 0, N_TIMES - 1))


def on_scale(seconds: float) -> Floats:
    """A time shared out between the two steps that it lies between, shape (:data:`N_TIMES`,)."""
    return np.maximum(0, 1 - np.abs(np.arange(N_TIMES) - place(seconds))).astype(np.float32)
