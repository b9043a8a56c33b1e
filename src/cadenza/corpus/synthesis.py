"""Training audio for the ear: excerpts of scores, played as people play, through several soundfonts, with exact notes.

A clip is a function of (seed, number) alone. The mix: piano, plucked and sustained instruments alone and together,
voice or another lead over an accompaniment, bands with human drumming, and random chords of any density that no style
explains. Instruments are drawn for a part afresh, so every melody is heard on everything. Rooms, microphones, noise
and codecs are the training loop's matter: they change the sound and not the notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, FormatError
from cadenza.corpus.humanise import Part, family_of_program, humanised, one_sounding_note_a_pitch, pedal, rubato
from cadenza.corpus.score_pack import ScorePack
from cadenza.corpus.soundfonts import font_bytes, random_font
from cadenza.score.instruments import range_of
from cadenza.score.model import Track

SAMPLE_RATE = 16_000
RENDER_RATE = 32_000
CLIP_SECONDS = 12.0
FRAMES_PER_SECOND = 50
PEAK = 30_000

UNKNOWN_FAMILY = -1  # of a timbre that no instrument has
DRUM_CLASSES = ("kick", "snare", "hi-hat", "tom", "cymbal")
_DRUM_KEYS = {
    **dict.fromkeys((35, 36), 0), **dict.fromkeys((37, 38, 39, 40), 1), **dict.fromkeys((42, 44, 46), 2),
    **dict.fromkeys((41, 43, 45, 47, 48, 50), 3), **dict.fromkeys((49, 51, 52, 53, 55, 57, 59), 4),
}  # fmt: skip

CLIP_NOTE = np.dtype(
    [("onset_seconds", "f4"), ("end_seconds", "f4"), ("pitch", "i2"), ("velocity", "i2"), ("family", "i1")]
)
DRUM_HIT = np.dtype([("onset_seconds", "f4"), ("kind", "i1"), ("velocity", "i2")])
BEND_FRAME = np.dtype([("frame", "i2"), ("pitch", "i2"), ("cents", "i2")])

MODES = ("piano", "plucked", "solo", "ensemble", "lead", "band", "random")
MODE_SHARES = (0.33, 0.14, 0.14, 0.13, 0.08, 0.07, 0.11)

_PIANO = (0, 0, 0, 0, 1, 2, 4, 5)
_PLUCKED = (24, 24, 24, 25, 25, 25, 26, 27, 27, 46, 45, 105, 6, 15, 11, 12)
_SUSTAINED = (40, 40, 40, 41, 41, 42, 42, 43, 48, 49, 52, 53, 54, 56, 57, 58, 60, 64, 65, 66, 67, 68, 68, 69, 70, 71,
              71, 72, 73, 73, 73, 74, 19, 19, 20, 21, 22)  # fmt: skip
_LEADS = (52, 53, 54, 85, 40, 40, 73, 68, 71, 64, 65, 56, 42, 74)
_CHORDAL = (0, 0, 0, 4, 24, 25, 26, 27, 19, 48)
_BASSES = (32, 33, 33, 34, 36, 38, 43)
BOWED = (40, 41, 42, 43)
_RANDOM_SHARE = 0.12
_WHEEL_SEMITONES = 12
_SPREAD_SEMITONES = 0.03  # of the players of an ensemble around its tuning, a standard deviation
_LANES = 5  # channels of a part whose notes bend, so that one's wheel leaves the others alone


@dataclass(frozen=True)
class Clip:
    """A stretch of sound and what sounds in it.

    Args:
        samples: int16, shape (n,), mono at :data:`SAMPLE_RATE`.
        notes: :data:`CLIP_NOTE`, by onset.
        drums: :data:`DRUM_HIT`.
        bends: :data:`BEND_FRAME`: where a note's pitch differs from the key that plays it, beyond ``detune_cents``.
        detune_cents: the tuning of the whole clip, the mean over its notes, against 440 Hz.
    """

    mode: str
    samples: NDArray[np.int16]
    notes: NDArray[np.void]
    drums: NDArray[np.void]
    bends: NDArray[np.void]
    detune_cents: float


class Instruments:
    """The loaded soundfonts and which presets each has.

    Args:
        fonts: files, by name; ``grand`` and ``sections`` are joined to the tables by what they hold.
        n_random: how many fonts of random timbres are made beside them.
    """

    def __init__(self, fonts: Sequence[Path], n_random: int = 1, seed: int = 0) -> None:
        import tinysoundfont

        from cadenza.corpus.soundfonts import read_font

        self.synth: Any = tinysoundfont.Synth(gain=-9, samplerate=RENDER_RATE)
        self.presets: dict[int, list[tuple[int, int, int]]] = {}
        self.kits: list[tuple[int, int]] = []
        for path in fonts:
            number = self.synth.sfload(str(path))
            for preset in read_font(path).presets:
                if preset.bank == 128:
                    self.kits.append((number, preset.number))
                elif preset.bank in (0, 20, 25, 30, 40, 50):  # the latter are MuseScore_General's string sections
                    program = preset.number
                    if preset.bank:
                        program = 40 if preset.bank < 40 else 42
                    self.presets.setdefault(program, []).append((number, preset.bank, preset.number))
        if not self.presets:
            raise FormatError("soundfonts with presets of bank 0", "none", where=", ".join(map(str, fonts)))
        self.random: list[list[tuple[int, int, int]]] = [[], []]
        for index in range(n_random):
            font = random_font(seed + index)
            number = self.synth.sfload(font_bytes(font))
            for preset in font.presets:
                self.random[preset.number % 2].append((number, 0, preset.number))

    def draw(self, rng: np.random.Generator, program: int, random_share: float) -> tuple[tuple[int, int, int], int]:
        """((font, bank, preset), family) of an instrument of this program, or of a random timbre of its kind."""
        dies = program < 16 or 24 <= program < 40 or program in (45, 46, 105)
        if self.random[0] and rng.random() < random_share:
            choice = self.random[0 if dies else 1]
            return choice[int(rng.integers(len(choice)))], UNKNOWN_FAMILY
        # A font may lack a program: the nearest one of the same family that some font has stands in.
        family = family_of_program(program)
        known = [p for p in self.presets if family_of_program(p) == family] or sorted(self.presets)
        program = min(known, key=lambda p: abs(p - program))
        choice = self.presets[program]
        return choice[int(rng.integers(len(choice)))], family_of_program(program)


class Synthesizer:
    """Clips of a split of a pack, by number.

    Args:
        split: "train", "validation" or "test".
        random_share: how many parts get a timbre that no instrument has.
        mode_shares: how often each of :data:`MODES` is drawn.

    Raises:
        ConfigError: these shares are not one for each mode, or do not add up to 1.
    """

    def __init__(
        self,
        pack: ScorePack,
        instruments: Instruments,
        split: str = "train",
        seed: int = 0,
        random_share: float = _RANDOM_SHARE,
        mode_shares: Sequence[float] = MODE_SHARES,
    ) -> None:
        self.pack, self.instruments, self.split, self.seed = pack, instruments, split, seed
        self.random_share, self.mode_shares = random_share, tuple(mode_shares)
        if len(self.mode_shares) != len(MODES) or min(self.mode_shares) < 0 or abs(sum(self.mode_shares) - 1) > 1e-6:
            raise ConfigError(f"{len(MODES)} mode shares ({', '.join(MODES)}) that add up to 1", str(self.mode_shares))
        pitched, drums, small, guitars, leads = [], [], [], [], []
        for number in pack.numbers(split):
            tracks, source = pack.tracks_of(number), pack.source_of(number)
            if tracks["is_drums"].all():
                drums.append(number)
                continue
            pitched.append(number)
            n_pitched = int((~tracks["is_drums"]).sum())
            small += [number] * (n_pitched <= 6)
            guitars += [number] * bool(((tracks["program"] >= 24) & (tracks["program"] < 32)).all())
            leads += [number] * (source == "openscore_lieder" and n_pitched >= 2)
        self.by_kind = {
            name: np.array(numbers, np.int64)
            for name, numbers in (
                ("pitched", pitched), ("drums", drums), ("small", small), ("guitars", guitars), ("leads", leads),
            )
        }  # fmt: skip

    def clip(
        self,
        number: int,
        mode: str | None = None,
        *,
        programs: Sequence[int] = (),
        source: str = "",
        detune_cents: float | None = None,
    ) -> Clip:
        """The clip of that number; the same for the same seed, pack and fonts, whatever was made before.

        Args:
            mode: one of :data:`MODES`; drawn where None.
            programs: General MIDI programs to draw the instruments from (the lead's in mode "lead"), instead of the
                mode's own.
            source: only pieces of this collection.
            detune_cents: the tuning; drawn where None. The music is the same for any.
        """
        rng = np.random.default_rng([self.seed, number])
        while True:
            chosen = mode or str(rng.choice(MODES, p=self.mode_shares))
            parts = self._parts(rng, chosen, programs, source)
            if sum(len(part.onset) for part in parts if not part.is_drums) >= 6:
                made = self._rendered(rng, chosen, parts, detune_cents)
                if made is not None:
                    return made

    # ── what is played ───────────────────────────────────────────────────────────────────────────────────

    def _parts(self, rng: np.random.Generator, mode: str, programs: Sequence[int], source: str) -> list[Part]:
        if mode == "random":
            parts = [_random_chords(rng)]
        else:
            parts = self._excerpt(rng, mode, programs, source)
        if mode != "random":
            rubato(rng, parts, CLIP_SECONDS)
        jitter = rng.choice([0.003, 0.008, 0.015])
        legato = rng.uniform(0.55, 1.08)
        for index, part in enumerate(parts):
            parts[index] = humanised(rng, part, mode, jitter, legato, CLIP_SECONDS)
        if mode in ("piano", "random") and rng.random() < 0.6:
            pedal(rng, parts, CLIP_SECONDS)
        if mode == "lead" and rng.random() < 0.5:
            pedal(rng, parts[1:], CLIP_SECONDS)
        if mode in ("piano", "random", "plucked"):  # one instrument has one string a key
            parts = one_sounding_note_a_pitch(parts)
        return [part for part in (one_sounding_note_a_pitch([part])[0] for part in parts) if len(part.onset)]

    def _excerpt(self, rng: np.random.Generator, mode: str, wanted: Sequence[int], source: str) -> list[Part]:
        """Parts of a passage with instruments, from a random place of a random piece, at a random tempo and height."""
        kind = {"ensemble": "small", "solo": "small", "lead": "leads"}.get(mode, "pitched")
        if mode == "plucked" and rng.random() < 0.5 and len(self.by_kind["guitars"]):
            kind = "guitars"
        numbers = self.by_kind[kind] if len(self.by_kind[kind]) else self.by_kind["pitched"]
        if source:
            numbers = np.array([n for n in numbers if self.pack.source_of(n) == source])
        number = int(numbers[rng.integers(len(numbers))])
        notes, tracks = self.pack.notes_of(number), self.pack.tracks_of(number)
        notes = notes[~tracks["is_drums"][notes["track"]]]
        ids = np.unique(notes["track"])
        if mode == "solo":
            ids = ids[rng.integers(len(ids))][None]
            notes = notes[notes["track"] == ids[0]]
        if not len(notes):
            return []
        length = float(notes["onset_seconds"][-1]) + 1
        density = len(notes) / length
        per_second = np.exp(rng.uniform(np.log(3), np.log(16 if mode == "piano" else 10)))
        stretch = float(np.clip(density / per_second, 0.55, 1.8))
        if mode in ("band", "lead"):
            stretch = float(rng.uniform(0.75, 1.35))
        span = CLIP_SECONDS / stretch
        start = rng.uniform(0, max(0.01, length - span))
        inside = (notes["onset_seconds"] >= start) & (notes["onset_seconds"] < start + 1.3 * span)
        notes = notes[inside]
        shift = int(rng.integers(-6, 7))
        if mode == "piano" and rng.random() < 0.15:
            shift += int(rng.choice([-12, 12]))
        programs = self._programs(rng, mode, number, ids, wanted)
        parts = []
        for track in ids:
            own = notes[notes["track"] == track]
            rows = np.flatnonzero(own["curve"] >= 0).tolist() if mode in ("plucked", "solo") else []
            curves = {}
            for row in rows:
                seconds, cents = self.pack.curve(int(own["curve"][row]))
                curves[int(row)] = (seconds.astype(np.float64) * stretch, cents.astype(np.float64))
            pitch = own["pitch"].astype(np.int64) + shift
            if mode in ("solo", "ensemble", "lead"):
                pitch += _octaves_into_range(pitch, programs[int(track)])
            parts.append(
                Part(
                    (own["onset_seconds"].astype(np.float64) - start) * stretch,
                    (own["end_seconds"].astype(np.float64) - start) * stretch,
                    pitch,
                    np.full(len(own), 80),
                    programs[int(track)],
                    curves,
                )
            )
        if mode == "band":
            parts += self._band(rng, parts, stretch)
        return parts

    def _programs(
        self, rng: np.random.Generator, mode: str, number: int, ids: NDArray[Any], wanted: Sequence[int]
    ) -> dict[int, int]:
        def pick(options: Sequence[int]) -> int:
            return int(options[int(rng.integers(len(options)))])

        if mode in ("piano", "plucked"):
            program = pick(wanted or (_PIANO if mode == "piano" else _PLUCKED))
            return {int(track): program for track in ids}
        if mode == "solo":
            return {int(ids[0]): pick(wanted or _SUSTAINED)}
        if mode == "lead":
            own = 0 if wanted else pick((0, 0, 0, 0, 0, 2, 4, 24, 48))
            return {int(track): pick(wanted or _LEADS) if index == 0 else own for index, track in enumerate(ids)}
        if mode == "band":
            chordal = pick(_CHORDAL)
            return {int(track): pick((*_LEADS, 29, 25, 26)) if index == 0 else chordal
                    for index, track in enumerate(ids)}  # fmt: skip
        style = rng.random()
        if style < 0.35 or wanted == BOWED:  # bowed strings, by the parts' height
            means = {int(track): float(np.mean(self.pack.notes_of(number)["pitch"][
                self.pack.notes_of(number)["track"] == track])) for track in ids}  # fmt: skip
            return {track: 40 if mean > 66 else 41 if mean > 58 else 42 if mean > 44 else 43
                    for track, mean in means.items()}  # fmt: skip
        if style < 0.6:
            same = pick(_SUSTAINED)
            return {int(track): same for track in ids}
        return {int(track): pick((*_SUSTAINED, 0, 0, 46)) for track in ids}

    def _band(self, rng: np.random.Generator, parts: list[Part], stretch: float) -> list[Part]:
        """A bass that doubles the lowest notes an octave down, and drums that somebody played."""
        extra = []
        lowest = min(parts, key=lambda part: float(part.pitch.mean()) if len(part.pitch) else 1e9)
        if len(lowest.pitch) and rng.random() < 0.8:
            pitch = lowest.pitch - 12 * (lowest.pitch.mean() > 50)
            pitch = np.where(pitch < 28, pitch + 12, pitch)
            bass = Part(lowest.onset.copy(), lowest.end.copy(), pitch, lowest.velocity.copy(),
                         int(_BASSES[rng.integers(len(_BASSES))]))  # fmt: skip
            first = np.r_[True, np.diff(bass.onset) > 0.02]  # of a chord only its lowest
            extra.append(bass.keep(first & (pitch < 60)))
        if len(self.by_kind["drums"]) and self.instruments.kits and rng.random() < 0.85:
            number = int(self.by_kind["drums"][rng.integers(len(self.by_kind["drums"]))])
            notes = self.pack.notes_of(number)
            start = rng.uniform(0, max(0.01, float(notes["onset_seconds"][-1]) - CLIP_SECONDS / stretch))
            own = notes[(notes["onset_seconds"] >= start) & (notes["onset_seconds"] < start + CLIP_SECONDS / stretch)]
            onset = (own["onset_seconds"].astype(np.float64) - start) * stretch
            extra.append(
                Part(onset, onset + 0.1, own["pitch"].astype(np.int64), own["velocity"].astype(np.int64), 0,
                      is_drums=True)
            )  # fmt: skip
        return extra

    # ── how it sounds ────────────────────────────────────────────────────────────────────────────────────

    def _rendered(
        self, rng: np.random.Generator, mode: str, parts: list[Part], detune_cents: float | None
    ) -> Clip | None:
        synth = self.instruments.synth
        detune = float(np.clip(rng.normal(0, 0.1), -0.5, 0.5) if rng.random() < 0.85 else rng.uniform(-0.5, 0.5))
        if detune_cents is not None:
            detune = detune_cents / 100
        events: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        labels: list[Any] = []
        hits: list[Any] = []
        bends: list[Any] = []
        channel = 0
        spread: list[tuple[range, float, int]] = []  # channels, their own tuning against the clip's, their notes
        kit = self.instruments.kits[int(rng.integers(len(self.instruments.kits)))] if self.instruments.kits else None
        share = self.random_share
        shared_timbre: dict[int, tuple[tuple[int, int, int], int]] = {}
        together = mode in ("piano", "plucked", "random") or rng.random() < 0.5
        for part in parts:
            if part.is_drums:
                if kit is None:
                    continue
                number = 200
                synth.program_select(number, kit[0], 128, kit[1], True)
                synth.control_change(number, 7, int(rng.integers(50, 115)))
                for on, pitch, velocity in zip(part.onset, part.pitch, part.velocity, strict=True):
                    events.append((float(on), 2, synth.noteon, (number, int(pitch), int(velocity))))
                    events.append((float(on) + 0.1, 0, synth.noteoff, (number, int(pitch))))
                    if int(pitch) in _DRUM_KEYS:
                        hits.append((on, _DRUM_KEYS[int(pitch)], velocity))
                continue
            if together and part.program in shared_timbre:
                (font, bank, preset), family = shared_timbre[part.program]
            else:
                shared_timbre[part.program] = self.instruments.draw(rng, part.program, share)
                (font, bank, preset), family = shared_timbre[part.program]
            curves = part.curves or _curves(rng, mode, part)
            lanes = _LANES if curves else 1
            own = float(rng.normal(0, _SPREAD_SEMITONES)) if mode in ("ensemble", "lead", "band") else 0.0
            spread.append((range(channel, channel + lanes), own, len(part.onset)))
            for lane in range(lanes):
                synth.program_select(channel + lane, font, bank, preset)
                synth.pitchbend_range(channel + lane, _WHEEL_SEMITONES)
                synth.pitchbend(channel + lane, 8192)
                synth.control_change(channel + lane, 7, part.gain)
                synth.control_change(channel + lane, 11, 127)
            if family in (2, 5, 6, 7, UNKNOWN_FAMILY) and rng.random() < 0.4:
                swell = 90 + 35 * np.sin(np.arange(0, CLIP_SECONDS, 0.1) / rng.uniform(0.3, 2) + rng.uniform(0, 6))
                for step, value in enumerate(swell):
                    for lane in range(lanes):
                        events.append((0.1 * step, 1, synth.control_change, (channel + lane, 11, int(value))))
            for row in range(len(part.onset)):
                on, end, pitch = float(part.onset[row]), float(part.end[row]), int(part.pitch[row])
                number = channel + row % lanes
                events.append((on, 2, synth.noteon, (number, pitch, int(part.velocity[row]))))
                events.append((end, 0, synth.noteoff, (number, pitch)))
                labels.append((on, end, pitch, part.velocity[row], family))
                if row in curves:
                    _bend(synth, number, on, end, pitch, curves[row], events, bends)
                elif lanes > 1:
                    events.append((on - 1e-4, 1, synth.pitchbend, (number, 8192)))
            channel += lanes
        # Players differ from each other; together they are as far off as the clip says.
        middle = sum(own * n for _, own, n in spread) / max(1, sum(n for _, _, n in spread))
        for channels, own, _ in spread:
            for number in channels:
                synth.set_tuning(number, detune + own - middle)
        samples = _play(synth, events)
        peak = float(np.abs(samples).max(initial=0))
        if peak < 1e-4 or not labels:
            return None
        notes = np.array(labels, CLIP_NOTE)
        bent = np.concatenate([np.zeros(0, BEND_FRAME), *bends])
        return Clip(
            mode,
            np.rint(samples * (PEAK / peak)).astype(np.int16),
            notes[np.lexsort([notes["pitch"], notes["onset_seconds"]])],
            np.array(hits, DRUM_HIT),
            bent,
            100 * detune,
        )


def _octaves_into_range(pitch: NDArray[np.int64], program: int) -> int:
    """How many semitones, a multiple of 12, bring a part to where its instrument plays."""
    if not len(pitch):
        return 0
    low, high = range_of(Track(program=program))
    middle, shift = float(np.median(pitch)), 0
    while middle + shift < low + 4 and shift < 48:
        shift += 12
    while middle + shift > high - 4 and shift > -48:
        shift -= 12
    return shift


def _random_chords(rng: np.random.Generator) -> Part:
    rows = []
    t, density = 0.1, np.exp(rng.uniform(np.log(1.5), np.log(9)))
    while t < CLIP_SECONDS - 0.3:
        centre = rng.integers(24, 106)
        size = 1 + min(int(rng.geometric(0.45)) - 1, 6)
        for pitch in {int(np.clip(rng.normal(centre, rng.uniform(3, 18)), 21, 108)) for _ in range(size)}:
            rows.append((t, t + rng.lognormal(-0.9, 0.8) + 0.06, pitch))
        t += rng.exponential(1 / density) + 0.04
    table = np.array(rows)
    kind = rng.random()
    program = 0 if kind < 0.5 else int((_PLUCKED if kind < 0.75 else _SUSTAINED)[rng.integers(15)])
    return Part(table[:, 0], table[:, 1], table[:, 2].astype(np.int64), np.full(len(table), 80), program)


_Curves = dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]


def _curves(rng: np.random.Generator, mode: str, part: Part) -> _Curves:
    """Vibrato, scoops, slides and string bends for some notes of a part that can have them."""
    family = family_of_program(part.program)
    sings = family in (5, 6, 7) and mode in ("solo", "lead", "ensemble", "band")
    bends = family == 3 and mode in ("plucked", "band")
    if not ((sings and rng.random() < 0.65) or (bends and rng.random() < 0.35)):
        return {}
    share = rng.uniform(0.3, 1.0) if sings else rng.uniform(0.1, 0.5)
    rate, depth, delay = rng.uniform(4.5, 7), rng.uniform(6, 55), rng.uniform(0.05, 0.4)
    out: _Curves = {}
    for row in range(len(part.onset)):
        length = float(part.end[row] - part.onset[row])
        if length < 0.12 or rng.random() > share:
            continue
        t = np.arange(0, length, 0.01)
        cents = np.zeros(len(t))
        kind = rng.random()
        if sings or kind < 0.35:
            own = depth * rng.uniform(0.7, 1.3)
            cents += (
                own
                * np.clip((t - delay) / 0.25, 0, 1)
                * np.sin(2 * np.pi * rate * rng.uniform(0.95, 1.05) * (t - delay))
            )
        if sings and kind < 0.3:  # into the note from below or above
            cents += rng.uniform(-150, 60) * np.clip(1 - t / rng.uniform(0.04, 0.14), 0, 1)
        if not sings and kind >= 0.35:
            height = float(rng.choice([50, 100, 100, 200, 200, 300]))
            begin, rise = rng.uniform(0, 0.4) * length, rng.uniform(0.06, 0.3)
            cents += height * np.clip((t - begin) / rise, 0, 1)
            if rng.random() < 0.4:
                cents -= height * np.clip((t - begin - rise - 0.2) / rise, 0, 1)
        out[row] = (t, cents)
    return out


def _bend(
    synth: Any,
    number: int,
    on: float,
    end: float,
    pitch: int,
    curve: tuple[NDArray[np.float64], NDArray[np.float64]],
    events: list[tuple[float, int, Any, tuple[Any, ...]]],
    bends: list[NDArray[np.void]],
) -> None:
    """Wheel events of one note's curve, and its cents at the ear's frames."""
    t = np.arange(0, max(end - on, 0.02), 0.01)
    wheel = np.clip(np.rint(8192 + 8192 * np.interp(t, *curve) / (100 * _WHEEL_SEMITONES)), 0, 16383).astype(int)
    changed = np.r_[True, np.diff(wheel) != 0]
    # The first setting precedes the note; the others follow it at their times.
    events += [
        (on + float(at) - 1e-4, 1, synth.pitchbend, (number, int(value)))
        for at, value in zip(t[changed], wheel[changed], strict=True)
    ]
    frame = np.arange(int(np.ceil(on * FRAMES_PER_SECOND)), int(end * FRAMES_PER_SECOND) + 1)
    out = np.zeros(len(frame), BEND_FRAME)
    out["frame"], out["pitch"] = frame, pitch
    out["cents"] = np.rint(np.interp(frame / FRAMES_PER_SECOND - on, *curve))
    bends.append(out)


def _play(synth: Any, events: list[tuple[float, int, Any, tuple[Any, ...]]]) -> NDArray[np.float32]:
    """The events as sound, mono at :data:`SAMPLE_RATE`; the synthesizer is silent again afterwards."""
    events.sort(key=lambda event: event[:2])
    total = int(CLIP_SECONDS * RENDER_RATE)
    out = np.zeros((total, 2), np.float32)
    at = 0
    for seconds, _, call, arguments in events:
        stop = min(max(0, round(seconds * RENDER_RATE)), total)
        if stop > at:
            out[at:stop] = np.frombuffer(synth.generate(stop - at), np.float32).reshape(-1, 2)
            at = stop
        call(*arguments)
    if at < total:
        out[at:] = np.frombuffer(synth.generate(total - at), np.float32).reshape(-1, 2)
    synth.sounds_off()
    synth.generate(RENDER_RATE // 50)
    return halved(np.float32(0.5) * (out[:, 0] + out[:, 1]))


def halved(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples at half the rate: the upper half of the spectrum is cut off, with a taper of 300 Hz at 32 kHz."""
    padded = np.pad(samples, (0, 2048))  # the transform is circular: silence lies between the end and the start
    spectrum = np.fft.rfft(padded)[: len(padded) // 4 + 1].copy()
    edge = max(1, round(300 * len(padded) / RENDER_RATE))
    spectrum[-edge:] *= np.linspace(1, 0, edge)
    return (np.fft.irfft(spectrum, len(padded) // 2) * 0.5).astype(np.float32)[: len(samples) // 2]
