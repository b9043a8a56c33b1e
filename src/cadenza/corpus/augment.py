"""Seeded variations of a piece: another key, another tempo. Values that can be listed and read, as all Edits are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cadenza.score.edit import Edit, project, stretch_tempo, transpose
from cadenza.score.model import HARMONICS, NO_FRET, NO_STRING, Score, Track

SEMITONES = (-5, 6)
TEMPO_FACTOR = (0.8, 1.25)
HIGHEST_FRET = 24


@dataclass(frozen=True)
class Variation:
    """What was drawn (``record``) and the edits that do it, in order."""

    record: dict[str, Any]
    edits: tuple[Edit, ...]

    def __call__(self, score: Score) -> Score:
        return project(score, self.edits)


def draw(rng: np.random.Generator) -> Variation:
    """A transposition of −5…+6 semitones and a tempo factor of 0.8–1.25; notes that no longer fit on a fretted
    track's strings move by octaves, notes beyond 0–127 are dropped."""
    semitones = int(rng.integers(SEMITONES[0], SEMITONES[1] + 1))
    factor = round(float(np.exp(rng.uniform(*np.log(TEMPO_FACTOR)))), 3)
    edits = (transpose(semitones, "drop"), fold_into_tuning(), stretch_tempo(factor))
    return Variation({"semitones": semitones, "tempo_factor": factor}, edits)


def fold_into_tuning() -> Edit:
    """Notes below a fretted track's lowest string or above its highest fret move by the fewest octaves that help;
    they lose string and fret. Harmonics with a place sound above the highest fret as they should and stay."""

    def fold(track: Track) -> Track:
        if track.is_drums or not track.tuning or not len(track):
            return track
        low, high = min(track.tuning) + track.capo_fret, max(track.tuning) + HIGHEST_FRET
        pitch = track.notes["pitch"].astype(np.int64)
        below = np.maximum(low - pitch + 11, 0) // 12
        above = np.maximum(pitch - high + 11, 0) // 12
        moved = pitch + 12 * (below - above)
        harmonic = (track.notes["techniques"] & np.uint64(int(HARMONICS))) != 0
        moved = np.where(harmonic & (track.notes["string"] != NO_STRING), pitch, moved)
        changed = moved != pitch
        if not changed.any():
            return track
        notes = track.notes.copy()
        notes["pitch"] = moved
        notes["string"] = np.where(changed, NO_STRING, notes["string"])
        notes["fret"] = np.where(changed, NO_FRET, notes["fret"])
        return track.with_notes(notes)

    return Edit("moves notes that the strings cannot reach by octaves", lambda score: score.map_tracks(fold))
