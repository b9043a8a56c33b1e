"""A recording → a Score: the ear's notes as they were played, by instrument.

Level and tuning are measured first on stretches spread over the recording; then the ear listens in windows, its axis
moved to the recording's tuning. The score keeps the timing: a tick is about a millisecond. Beats, metre and a page are
found in such a performance by :func:`cadenza.infer.notator.notate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, FormatError, did_you_mean
from cadenza.formats.audio_file import AudioFile, open_audio
from cadenza.infer.heard_families import assigned
from cadenza.infer.heard_notes import HeardNote, NoteStream, Thresholds, drum_hits
from cadenza.model import ear_features as front
from cadenza.model.ear import Ear, Sound
from cadenza.score.edit import simplify_bends
from cadenza.score.model import BEND_DTYPE, NO_FRET, NO_SPELLING, NOTE_DTYPE, Score, Tempo, Track

Floats = NDArray[np.float32]

SILENCE = 1e-4  # root mean square of the loudest stretch below which a recording counts as silent: −80 dB
PROBE_SECONDS, MAX_PROBES = 5.0, 24
CROWD_CENTS = 10.0  # how far apart peaks of one tuning lie, about
PEAK_POWER = 0.25  # to which a peak's magnitude counts
STEADY_CENTS = 3.0  # from one frame to the next, about, of a peak that counts fully
MIN_CROWD = 1.1  # density of the peaks where they are densest over its mean, for a tuning to be told
TICKS_PER_QUARTER = 480
DEFAULT_TEMPO = 120.0
DRUM_THRESHOLD = 0.5
MIN_DRUM_HITS = 8
BEND_CENTS, BEND_FRAMES = 30.0, 3  # a pitch that leaves its key by so much for so long is bent
BEND_TOLERANCE_CENTS = 10.0
MIN_ASTRAY_NOTES = 8  # an instrument is told to be out of tune by itself from so many notes on

#: family → (name, program) of the track that it becomes.
TRACKS = {
    "piano": ("Piano", 0), "mallet": ("Vibraphone", 11), "organ": ("Organ", 19), "plucked": ("Guitar", 25),
    "bass": ("Bass", 33), "bowed": ("Strings", 48), "voice": ("Voice", 52), "wind": ("Wind", 73),
}  # fmt: skip
BENDING = ("plucked", "bass", "bowed", "voice", "wind")
DRUM_KEYS = {"kick": 36, "snare": 38, "hi-hat": 42, "tom": 45, "cymbal": 49}


@dataclass(frozen=True)
class Transcription:
    """What was heard.

    Args:
        score: the notes, at ``tempo`` and in their own timing.
        heard: the notes before they were grouped.
        tracks: the number of the score's track that each of them stands in.
        tuning_cents: of the recording against 440 Hz.
        complete: False where listening was interrupted; the score is then what was heard until there.
    """

    score: Score
    heard: tuple[HeardNote, ...]
    tracks: tuple[int, ...]
    tuning_cents: float
    duration_seconds: float
    complete: bool


def transcribe(
    path: Path | str,
    ear: Ear | None = None,
    *,
    instruments: Sequence[str] = (),
    tempo: float = DEFAULT_TEMPO,
    thresholds: Thresholds | None = None,
    drums: bool = True,
    on_progress: Callable[[float], None] | None = None,
) -> Transcription:
    """The notes of a sound file.

    Args:
        ear: the shipped one where None.
        instruments: families (:data:`TRACKS`) that may be heard; all where empty.
        tempo: quarter notes a minute that the score says; the notes sound the same at any.
        drums: whether drums are listened for.
        on_progress: called with the seconds that are done.

    Raises:
        FormatError: no sound file, or one that is silent.
        ConfigError: an unknown instrument.
        ModelError: no ear is there.
    """
    check_instruments(instruments)
    audio = open_audio(path)
    ear = ear or Ear()
    level, tuning = measured(audio)
    _refuse_silence(audio, level)
    thresholds = thresholds or Thresholds(onset=ear.onset_threshold)
    sound = Sound(_whole(audio), front.LEVEL / level)
    stream, heard, hits = NoteStream(thresholds), [], []
    complete, at = True, 0.0
    try:
        for curves in ear.listen(sound, tuning_cents=tuning):
            heard += stream.push(curves.first_frame, curves.values)
            if drums:
                hits += drum_hits(curves.values["drums"], DRUM_THRESHOLD, curves.first_frame)
            at = (curves.first_frame + len(curves)) / front.FRAMES_PER_SECOND
            if on_progress:
                on_progress(at)
    except KeyboardInterrupt:
        complete = False
    heard += stream.finish()
    heard.sort(key=lambda note: (note.onset_seconds, note.pitch))
    family = assigned(heard, ear.families, instruments)
    score = to_score(heard, family, hits, ear.families, ear.drums, tempo)
    tracks = np.unique(family, return_inverse=True)[1]
    return Transcription(score, tuple(heard), tuple(tracks.tolist()), tuning, audio.duration_seconds, complete)


def check_instruments(instruments: Sequence[str]) -> None:
    """Raise where one is no family.

    Raises:
        ConfigError: naming it.
    """
    for name in instruments:
        if name not in TRACKS:
            raise ConfigError(f"instruments out of {', '.join(TRACKS)}", repr(name), hint=did_you_mean(name, TRACKS))


def audible(path: Path | str) -> AudioFile:
    """An open sound file in which something sounds.

    Raises:
        FormatError: no sound file, or one that is silent.
    """
    audio = open_audio(path)
    _refuse_silence(audio, measured(audio)[0])
    return audio


def _refuse_silence(audio: AudioFile, level: float) -> None:
    if level < SILENCE:
        found = f"silence (its loudest stretch is at {_decibels(level):.0f} dB)"
        raise FormatError("sound", found, where=str(audio.path))


def _whole(audio: AudioFile) -> Iterator[Floats]:
    return audio.mono(front.SAMPLE_RATE)


def _decibels(level: float) -> float:
    return 20 * float(np.log10(max(level, 1e-10)))


# ── level and tuning ─────────────────────────────────────────────────────────────────────────────────────


def measured(audio: AudioFile) -> tuple[float, float]:
    """(root mean square, tuning in cents) of stretches spread over a recording, its quiet ones left out."""
    n = min(MAX_PROBES, max(1, int(audio.duration_seconds / PROBE_SECONDS)))
    step = audio.duration_seconds / n
    stretches = []
    for number in range(n):
        seconds = min(PROBE_SECONDS, step) if n > 1 else PROBE_SECONDS + 1
        blocks = list(audio.mono(front.SAMPLE_RATE, number * step, seconds))
        stretches.append(np.concatenate([np.zeros(0, np.float32), *blocks]))
    power = np.array([float(np.mean(s.astype(np.float64) ** 2)) if len(s) else 0.0 for s in stretches])
    loud = power > 1e-4 * power.max()
    level = float(np.sqrt(power[loud].mean())) if loud.any() else 0.0
    if level < SILENCE:
        return level, 0.0
    return level, tuning_cents([s for s, counts in zip(stretches, loud, strict=True) if counts])


def tuning_cents(stretches: Sequence[Floats]) -> float:
    """How far the spectral peaks lie from the keys of a piano at 440 Hz, −50…50 cents; 0 where they lie anywhere.

    What is told is where most of them lie close together: a voice that is sharp by itself, or one out of tune among
    others, moves the mean of all peaks and not that place (``benchmarks/tuning.py``).
    """
    return crowd_cents(peaks_by_cent(stretches))


def crowd_cents(places: NDArray[np.float64]) -> float:
    """Where most of what lies 0, 1 … 99 cents above a key lies close together, −50…50; 0 where it lies anywhere."""
    away = (np.arange(100) + 50) % 100 - 50
    density = np.fft.irfft(np.fft.rfft(places) * np.fft.rfft(np.exp(-0.5 * (away / CROWD_CENTS) ** 2)), 100)
    if density.max() < MIN_CROWD * density.mean():
        return 0.0
    middle = float(density.argmax())
    for _ in range(4):  # the mean of what lies around it
        off = (np.arange(100) - middle + 50) % 100 - 50
        near = np.where(np.abs(off) < 2 * CROWD_CENTS, places, 0.0)
        middle += float((near * off).sum() / max(near.sum(), 1e-12))
    return (middle + 50) % 100 - 50


def peaks_by_cent(
    stretches: Sequence[Floats], power: float = PEAK_POWER, steady_cents: float = STEADY_CENTS
) -> NDArray[np.float64]:
    """How much of the spectral peaks lies 0, 1 … 99 cents above the key below, shape (100,).

    Args:
        power: to which a peak's magnitude counts.
        steady_cents: about how far a peak may move from one frame to the next and count.
    """
    length, places = 4096, np.zeros(100)
    window = np.hanning(length).astype(np.float32)
    low, high = (int(hertz * length / front.SAMPLE_RATE) for hertz in (110, 1800))
    for samples in stretches:
        if len(samples) < length:
            continue
        framed = np.lib.stride_tricks.sliding_window_view(samples, length)[:: length // 2]
        spectrum = np.abs(np.fft.rfft(framed * window, axis=1))[:, : high + 2]
        loudness = np.log(np.maximum(spectrum, 1e-9))
        middle = loudness[:, low:high]
        before, after = loudness[:, low - 1 : high - 1], loudness[:, low + 1 : high + 1]
        floor = loudness.max(axis=1, keepdims=True) - np.log(30.0)
        row, column = np.nonzero((middle > before) & (middle >= after) & (middle > floor))
        left, peak, right = before[row, column], middle[row, column], after[row, column]
        place = low + column + 0.5 * (left - right) / (left - 2 * peak + right - 1e-12)
        note = 69 + 12 * np.log2(place * front.SAMPLE_RATE / length / 440)
        strength = np.exp(power * peak)  # a root: one loud note is not the whole recording
        strength *= np.exp(-0.5 * (_drift_cents(row, note) / steady_cents) ** 2)
        places += np.bincount(np.rint(100 * note).astype(int) % 100, strength, 100)
    return places


def _drift_cents(frame: NDArray[np.int64], note: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each peak is from the nearest one of the frame before or after; keys of a piano stay, voices sway.

    Args:
        frame, note: of peaks by frame and, within it, by pitch; both shape (n,).
    """
    place = 1000.0 * frame + note  # frames far apart on one line
    drift = np.full(len(place), 99.0)
    for step in (-1000.0, 1000.0):
        nearest = np.searchsorted(place, place + step)
        for one in (nearest - 1, nearest):
            other = place[np.clip(one, 0, len(place) - 1)] if len(place) else place
            drift = np.minimum(drift, 100 * np.abs(other - place - step))
    return drift


# ── notes to a score ─────────────────────────────────────────────────────────────────────────────────────


def to_score(
    heard: Sequence[HeardNote],
    family: Sequence[int],
    hits: Sequence[tuple[float, int, float]],
    families: Sequence[str],
    drum_kinds: Sequence[str],
    tempo: float = DEFAULT_TEMPO,
) -> Score:
    """Tracks by family; ``family`` numbers that of each note in ``families``."""
    ticks_per_second = TICKS_PER_QUARTER * tempo / 60
    tracks = []
    for number, name in enumerate(families):
        own = [note for note, which in zip(heard, family, strict=True) if which == number]
        if own:
            tracks.append(_track(own, name, ticks_per_second))
    if len(hits) >= MIN_DRUM_HITS:
        tracks.append(_drum_track(hits, drum_kinds, ticks_per_second))
    return Score(tuple(tracks), TICKS_PER_QUARTER, tempos=(Tempo(0, tempo),))


def _track(own: Sequence[HeardNote], family: str, ticks_per_second: float) -> Track:
    name, program = TRACKS[family]
    astray = _astray_cents(own) if family in BENDING else 0.0
    notes = np.zeros(len(own), NOTE_DTYPE)
    bends: list[tuple[int, int, int]] = []
    for row, note in enumerate(own):
        onset = round(note.onset_seconds * ticks_per_second)
        length = max(1, round(note.end_seconds * ticks_per_second) - onset)
        notes[row]["onset_ticks"], notes[row]["duration_ticks"] = onset, length
        notes[row]["pitch"], notes[row]["velocity"] = note.pitch, note.velocity
        if family in BENDING:
            bends += [(row, *point) for point in _bend_points(note, length, ticks_per_second, astray)]
    notes["fret"], notes["spelling"] = NO_FRET, NO_SPELLING
    track = Track(name, program, notes=notes, bends=np.array(bends, BEND_DTYPE))
    simplified = simplify_bends(BEND_TOLERANCE_CENTS).apply(Score((track,), TICKS_PER_QUARTER))
    return simplified.tracks[0]


def _astray_cents(own: Sequence[HeardNote]) -> float:
    """How far all notes of an instrument lie from their keys, as one that is out of tune with the rest; 0 of a few.

    The recording's tuning is not in it: the ear's axis was moved there before it heard anything.
    """
    middles = [float(np.median(note.bend_semitones)) for note in own if len(note.bend_semitones)]
    return 100 * float(np.median(middles)) if len(middles) >= MIN_ASTRAY_NOTES else 0.0


def _bend_points(note: HeardNote, length: int, ticks_per_second: float, astray: float) -> list[tuple[int, int]]:
    """(ticks after the onset, cents) where the pitch leaves the key audibly; empty where it stays."""
    cents = 100 * note.bend_semitones - astray
    if len(cents) < BEND_FRAMES:
        return []
    padded = np.pad(cents, 1, mode="edge")
    cents = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    off = np.abs(cents) > BEND_CENTS
    runs = np.convolve(off, np.ones(BEND_FRAMES, int), "valid")
    if not (runs == BEND_FRAMES).any():
        return []
    ticks = np.rint(np.arange(len(cents)) * ticks_per_second / front.FRAMES_PER_SECOND).astype(int)
    inside = (ticks <= length) & (np.diff(ticks, prepend=-1) > 0)
    return [(int(at), round(float(value))) for at, value in zip(ticks[inside], cents[inside], strict=True)]


def _drum_track(hits: Sequence[tuple[float, int, float]], kinds: Sequence[str], ticks_per_second: float) -> Track:
    notes = np.zeros(len(hits), NOTE_DTYPE)
    notes["onset_ticks"] = [round(seconds * ticks_per_second) for seconds, _, _ in hits]
    notes["duration_ticks"] = max(1, round(0.1 * ticks_per_second))
    notes["pitch"] = [DRUM_KEYS[kinds[kind]] for _, kind, _ in hits]
    notes["velocity"] = [int(np.clip(50 + 60 * confidence, 1, 127)) for _, _, confidence in hits]
    notes["fret"], notes["spelling"] = NO_FRET, NO_SPELLING
    return Track("Drums", 0, is_drums=True, notes=notes)
