"""Seeded variations of a piece. Values that can be listed, recorded and read, as all Edits are.

Each function makes one :class:`~cadenza.score.edit.Edit` that preserves what its docstring says (and a property test
checks); :func:`draw` picks some of them as an :class:`Augmentation` asks and says what it drew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import CadenzaError
from cadenza.score.edit import Edit, project, retimed, stretch_tempo, transpose
from cadenza.score.fingering import finger
from cadenza.score.key_finding import modulates
from cadenza.score.model import HARMONICS, NO_FRET, NO_STRING, Key, Score, Track
from cadenza.score.time import bar_table, key_at

SEMITONES = (-5, 6)
TEMPO_FACTOR = (0.8, 1.25)
HIGHEST_FRET = 24
PHRASE_BARS = 4
MIN_MODULATION_BARS = 4
#: Semitones by which a passage may be moved: to closely related keys and up by a step.
MODULATIONS = (-5, -3, -2, 1, 2, 3, 5)
#: Changes of tuning in semitones, highest string first: half a step and a whole step down, drop D, drop C.
RETUNINGS = {
    "half-step-down": (-1,) * 6,
    "whole-step-down": (-2,) * 6,
    "drop": (0, 0, 0, 0, 0, -2),
    "drop-whole-step-down": (-2, -2, -2, -2, -2, -4),
}


@dataclass(frozen=True)
class Augmentation:
    """How a recipe varies its pieces.

    Args:
        copies: varied copies of each training piece, beside the piece itself (3 was the published optimum).
        semitones: least and greatest transposition.
        tempo_factor: least and greatest factor of the tempo.
        modulate, velocity, stretch, dropout, shuffle_tracks, retune, band: probabilities that a copy has it; ``band``
            re-orchestrates voices as a band with drums of the same metre (:mod:`cadenza.corpus.band`).
    """

    copies: int = 0
    semitones: tuple[int, int] = SEMITONES
    tempo_factor: tuple[float, float] = TEMPO_FACTOR
    modulate: float = 0.0
    velocity: float = 0.0
    stretch: float = 0.0
    dropout: float = 0.0
    shuffle_tracks: float = 0.0
    retune: float = 0.0
    band: float = 0.0


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


def draw_for(score: Score, options: Augmentation, rng: np.random.Generator) -> Variation:
    """The edits of one varied copy of ``score``, and their record. Each is drawn whether or not another applies, so
    that what one option says does not change what the others draw."""
    record: dict[str, Any] = {}
    edits: list[Edit] = []

    def chosen(share: float) -> bool:
        return bool(rng.random() < share)

    semitones = int(rng.integers(options.semitones[0], options.semitones[1] + 1))
    if semitones:
        record["semitones"] = semitones
        edits += [transpose(semitones, "drop"), fold_into_tuning()]
    factor = round(float(np.exp(rng.uniform(*np.log(options.tempo_factor)))), 3)
    if factor != 1:
        record["tempo_factor"] = factor
        edits.append(stretch_tempo(factor))
    passage, by = draw_passage(score, rng), int(rng.choice(MODULATIONS))
    if chosen(options.modulate) and passage is not None:
        record["modulation"] = [*passage, by]
        edits += [modulate(*passage, by), fold_into_tuning()]
    seed = int(rng.integers(1 << 31))
    if chosen(options.velocity):
        record["velocity_seed"] = seed
        edits.append(shape_velocity(seed))
    seed = int(rng.integers(1 << 31))
    if chosen(options.stretch):
        record["stretch_seed"] = seed
        edits.append(stretch_time(seed))
    kept = draw_tracks(score, rng)
    if chosen(options.dropout):
        record["tracks"] = kept
        edits.append(reorder_tracks(kept))
    order = rng.permutation(len(kept) if "tracks" in record else len(score.tracks)).tolist()
    if chosen(options.shuffle_tracks):
        record["track_order"] = order
        edits.append(reorder_tracks(order))
    name = str(rng.choice(sorted(RETUNINGS)))
    if chosen(options.retune):
        record["retuning"] = name
        edits.append(retune(name))
    return Variation(record, tuple(edits))


# ── pitch ────────────────────────────────────────────────────────────────────────────────────────────────


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


def draw_passage(score: Score, rng: np.random.Generator) -> tuple[int, int] | None:
    """First and last + 1 bar of a passage that can be modulated: whole phrases of four bars counted from the first,
    not the piece's start; None where the piece is too short or modulates by itself. Boundaries over which no note
    sounds are taken first."""
    place, length = int(rng.integers(1 << 31)), int(rng.integers(1, 4))
    table = bar_table(score)
    borders = list(range(PHRASE_BARS, len(table) + 1, PHRASE_BARS))
    if len(borders) < 2 or modulates(score):
        return None
    clean = [bar for bar in borders if bar == len(table) or not _sounding_over(score, int(table.starts_ticks[bar]))]
    usable = clean if len(clean) >= 2 else borders
    first = usable[place % (len(usable) - 1)]
    later = [bar for bar in usable if bar >= first + MIN_MODULATION_BARS]
    return (first, later[min(length - 1, len(later) - 1)]) if later else None


def _sounding_over(score: Score, tick: int) -> bool:
    for track in score.tracks:
        onset = track.notes["onset_ticks"]
        if not track.is_drums and bool(((onset < tick) & (onset + track.notes["duration_ticks"] > tick)).any()):
            return True
    return False


def modulate(first_bar: int, stop_bar: int, semitones: int) -> Edit:
    """Move the notes that begin in bars ``first_bar`` … ``stop_bar`` − 1 (from 0), drums aside.

    All other notes stay as they are, all onsets and durations too; the key changes with the passage and back. Notes
    that would leave 0–127 keep their pitch's class an octave nearer.
    """

    def apply(score: Score) -> Score:
        table = bar_table(score)
        start = int(table.starts_ticks[first_bar])
        stop = int(table.ends_ticks[min(stop_bar, len(table)) - 1])

        def move(track: Track) -> Track:
            inside = (track.notes["onset_ticks"] >= start) & (track.notes["onset_ticks"] < stop)
            if track.is_drums or not inside.any():
                return track
            pitch = track.notes["pitch"].astype(np.int64) + np.where(inside, semitones, 0)
            pitch += 12 * ((pitch < 0).astype(np.int64) - (pitch > 127))
            notes = track.notes.copy()
            notes["pitch"] = pitch
            fret = notes["fret"].astype(np.int64) + semitones
            natural = (notes["techniques"] & np.uint64(int(HARMONICS))) != 0
            held = (notes["fret"] != NO_FRET) & inside
            lost = held & ((fret < 0) | (fret > HIGHEST_FRET) | natural)
            notes["fret"] = np.where(lost, NO_FRET, np.where(held, fret, notes["fret"]))
            notes["string"] = np.where(lost, NO_STRING, notes["string"])
            notes["spelling"] = np.where(inside, -128, notes["spelling"])
            return track.with_notes(notes)

        keys = _modulated_keys(score, start, stop, semitones)
        return replace(score.map_tracks(move), keys=keys)

    return Edit(f"moves bars {first_bar + 1} to {stop_bar} by {semitones:+d} semitones", apply)


def _modulated_keys(score: Score, start: int, stop: int, semitones: int) -> tuple[Key, ...]:
    home = key_at(score, start)
    if home is None:
        return score.keys
    fifths = (home.fifths + 7 * semitones + 5) % 12 - 5
    keys = [key for key in score.keys if key.onset_ticks < start or key.onset_ticks > stop]
    keys.append(Key(start, fifths, home.mode))
    if stop < score.length_ticks:
        keys.append(replace(key_at(score, stop) or home, onset_ticks=stop))
    return tuple(keys)


def retune(name: str) -> Edit:
    """Fretted tracks with six strings in another tuning; every pitch stays, strings and frets are found anew.

    A track with notes below the new lowest string, or that nobody could play so, stays as it is.
    """
    steps = np.array(RETUNINGS[name])

    def change(track: Track) -> Track:
        if track.is_drums or len(track.tuning) != len(steps) or not len(track):
            return track
        tuning = tuple((np.array(track.tuning) + steps).tolist())
        if min(tuning) < 0:
            return track
        notes = track.notes.copy()
        notes["string"], notes["fret"] = NO_STRING, NO_FRET
        notes["techniques"] &= ~np.uint64(int(HARMONICS))
        if (notes["techniques"] != track.notes["techniques"]).any():
            return track  # a harmonic is tied to its place
        try:
            return finger(replace(track, notes=notes, tuning=tuning), unplayable="refuse")
        except CadenzaError:
            return track

    return Edit(f"re-tunes six-string tracks ({name})", lambda score: score.map_tracks(change))


# ── loudness and time ────────────────────────────────────────────────────────────────────────────────────


def _smooth(seed: int, ticks: NDArray[np.int64], period_ticks: float, n_waves: int = 3) -> NDArray[np.float64]:
    """A smooth random curve within −1…1 at ``ticks``, its waves ``period_ticks`` long or longer."""
    rng = np.random.default_rng(seed)
    phase, stretch = rng.uniform(0, 2 * np.pi, n_waves), rng.uniform(1, 3, n_waves)
    waves = np.sin(phase[:, None] + 2 * np.pi * np.asarray(ticks)[None, :] / (period_ticks * stretch[:, None]))
    return waves.mean(axis=0)


def shape_velocity(seed: int, depth: int = 12) -> Edit:
    """Another dynamic shape.

    A track that plays at one velocity gets a smooth curve over phrases (± ``depth``, the same for notes that start
    together); one with dynamics of its own keeps their order: a louder note is never made softer than a softer one,
    so that every crescendo stays one.
    """

    def apply(score: Score) -> Score:
        phrase = PHRASE_BARS * 4 * score.ticks_per_quarter
        rng = np.random.default_rng(seed)
        gamma, shift = float(np.exp(rng.uniform(-0.35, 0.35))), float(rng.uniform(-depth, depth))

        def change(track: Track) -> Track:
            if not len(track):
                return track
            notes = track.notes.copy()
            velocity = notes["velocity"].astype(np.float64)
            if (notes["velocity"] == notes["velocity"][0]).all():
                velocity = velocity + depth * _smooth(seed, notes["onset_ticks"], phrase)
            else:
                velocity = 127 * (velocity / 127) ** gamma + shift
            notes["velocity"] = np.clip(np.rint(velocity), 1, 127)
            return track.with_notes(notes)

        return score.map_tracks(change)

    return Edit("shapes velocities by a smooth curve", apply)


def stretch_time(seed: int, depth: float = 0.08) -> Edit:
    """A performance played with another rubato: times move by a smooth curve whose slope lies within 1 ± ``depth``.

    Order and simultaneity stay: what began together begins together, what came first comes first. For performed music
    only: scores in bars lose them.
    """

    def apply(score: Score) -> Score:
        end = max(score.length_ticks, 1)
        places = np.linspace(0, end, 257)
        slope = 1 + depth * _smooth(seed, places.astype(np.int64), 16.0 * score.ticks_per_quarter)
        warped = np.concatenate([[0], np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(places))])
        return retimed(score, score.ticks_per_quarter, lambda tick: round(float(np.interp(tick, places, warped))))

    return Edit("plays with another rubato", apply)


# ── tracks ───────────────────────────────────────────────────────────────────────────────────────────────


def draw_tracks(score: Score, rng: np.random.Generator, keep: float = 0.7) -> list[int]:
    """Indices of the tracks that stay when each is dropped by chance; always one with notes."""
    draws = rng.random(len(score.tracks))
    longest = max(range(len(score.tracks)), key=lambda i: len(score.tracks[i]), default=0)
    return [index for index, value in enumerate(draws) if value < keep or index == longest]


def reorder_tracks(indices: Sequence[int]) -> Edit:
    """Only these tracks, in this order; each stays note for note."""

    def apply(score: Score) -> Score:
        return score.with_tracks(score.tracks[index] for index in indices if index < len(score.tracks))

    return Edit(f"keeps tracks {', '.join(str(index + 1) for index in indices)}", apply)
